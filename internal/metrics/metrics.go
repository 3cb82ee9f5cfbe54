// Package metrics names and registers all metrics of the product.
//
//	metrics.go  those of a node, by the room that counts them
//	gauges.go   those that are read when they are collected
//	server.go   those of the API's server and its listener
//	store.go    those of the stores
//
// Labels are bounded: never an id, a URL or a host. A nil registerer makes metrics that
// nobody can see. docs/operations.md describes each; a test compares the two.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Node has the counters of a node.
type Node struct {
	Intake   Intake
	Dispatch Dispatch
	Delivery Delivery
	Pushes   Pushes
	Cluster  Cluster

	Panics    prometheus.Counter
	Shortages *prometheus.CounterVec // resource
}

// Intake has the counters of submissions.
type Intake struct {
	Submitted *prometheus.CounterVec // project, model
	Rejected  *prometheus.CounterVec // reason
}

// Dispatch has the counters of jobs and their attempts.
type Dispatch struct {
	Finished    *prometheus.CounterVec // status, model
	Quarantined prometheus.Counter
	Attempts    *prometheus.CounterVec   // provider, model, outcome
	Attempt     *prometheus.HistogramVec // provider, model
	FirstToken  *prometheus.HistogramVec // provider, model
	Tokens      *prometheus.CounterVec   // provider, model, type
	QueueWait   prometheus.Histogram
	Claims      prometheus.Counter
	Fenced      prometheus.Counter
}

// Delivery has the counters of webhooks.
type Delivery struct {
	Tries  *prometheus.CounterVec // outcome
	Try    prometheus.Histogram
	Lag    prometheus.Histogram
	Claims prometheus.Counter
	Fenced prometheus.Counter
}

// The outcomes of a webhook's try, as a label.
const (
	TryDelivered = "delivered"
	TryFailed    = "failed" // it will be tried again
	TryDead      = "dead"
)

// Cluster has the counters of sweeps.
type Cluster struct {
	Sweeps    prometheus.Counter
	SweptJobs prometheus.Counter
}

// Pushes has the counters of events that are pushed while a job runs.
type Pushes struct {
	outcomes *prometheus.CounterVec // kind, outcome
}

// The kinds of pushes, as a label.
const (
	PushStarted  = "started"
	PushProgress = "progress"
	PushStream   = "stream"
)

// The outcomes of pushes, as a label.
const (
	PushSent    = "sent"
	PushFailed  = "failed"
	PushDropped = "dropped" // there was no slot, or the host is on hold
	PushCut     = "cut_off" // a webhook by the end of its attempt, a stream because its receiver read nothing
)

// Count counts a push by its kind and its outcome.
func (p Pushes) Count(kind, outcome string) { p.Of(kind, outcome).Inc() }

// Of returns the counter of a kind and an outcome.
func (p Pushes) Of(kind, outcome string) prometheus.Counter {
	return p.outcomes.WithLabelValues(kind, outcome)
}

// factory makes metrics and registers them.
type factory struct{ promauto.Factory }

func (f factory) counter(name, help string) prometheus.Counter {
	return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

func (f factory) counters(name, help string, labels ...string) *prometheus.CounterVec {
	return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func (f factory) histogram(name, help string, buckets []float64) prometheus.Histogram {
	return f.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
}

func (f factory) histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return f.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

// seconds returns the buckets for durations of up to an hour: from 10 ms to 1310 s, since
// most attempts end within minutes.
func seconds() []float64 { return prometheus.ExponentialBuckets(.01, 2, 18) }

// The value of the label kind.
const (
	kindJob      = "job"
	kindDelivery = "delivery"
)

// NewNode registers the metrics of a node.
func NewNode(r prometheus.Registerer) *Node {
	f := factory{promauto.With(r)}
	claims := f.counters("ringback_claims_total", "Jobs and deliveries claimed from the store, without those claimed on insert.", "kind")
	fenced := f.counters("ringback_fenced_writes_total", "Results that came too late: the job or delivery had moved on.", "kind")
	n := &Node{
		Intake:   newIntake(f),
		Dispatch: newDispatch(f),
		Delivery: newDelivery(f),
		Pushes:   newPushes(f),
		Cluster: Cluster{
			Sweeps:    f.counter("ringback_sweeps_total", "Leases that this node took away from nodes that did not renew them."),
			SweptJobs: f.counter("ringback_swept_jobs_total", "Running jobs that this node freed because their nodes had no lease."),
		},
		Panics: f.counter("ringback_panics_total", "Panics that ended one attempt, try or step of a loop."),
		Shortages: f.counters("ringback_shortages_total",
			"Calls and webhooks that could not begin because this machine had run short, by resource.", "resource"),
	}
	n.Dispatch.Claims, n.Delivery.Claims = claims.WithLabelValues(kindJob), claims.WithLabelValues(kindDelivery)
	n.Dispatch.Fenced, n.Delivery.Fenced = fenced.WithLabelValues(kindJob), fenced.WithLabelValues(kindDelivery)
	return n
}

func newIntake(f factory) Intake {
	return Intake{
		Submitted: f.counters("ringback_jobs_submitted_total", "Jobs accepted.", "project", "model"),
		Rejected:  f.counters("ringback_submit_rejected_total", "Submissions refused, by reason.", "reason"),
	}
}

func newDispatch(f factory) Dispatch {
	return Dispatch{
		Finished: f.counters("ringback_jobs_finished_total", "Jobs that ended.", "status", "model"),
		Quarantined: f.counter("ringback_jobs_quarantined_total",
			"Jobs that were ended because their row in the store is too large or broken."),
		Attempts: f.counters("ringback_attempts_total", "Attempts that ended, by outcome.", "provider", "model", "outcome"),
		Attempt: f.histograms("ringback_attempt_duration_seconds",
			"Duration of attempts, excluding those that ended uncertain.", seconds(), "provider", "model"),
		FirstToken: f.histograms("ringback_time_to_first_token_seconds",
			"Time from the start of an attempt to the first piece of its answer.", seconds(), "provider", "model"),
		Tokens:    f.counters("ringback_tokens_total", "Tokens, as the provider counts them.", "provider", "model", "type"),
		QueueWait: f.histogram("ringback_queue_wait_seconds", "Time from when a job was due until its attempt began.", seconds()),
	}
}

func newDelivery(f factory) Delivery {
	d := Delivery{
		Tries: f.counters("ringback_deliveries_total", "Tries of webhooks, by outcome.", "outcome"),
		Try: f.histogram("ringback_delivery_attempt_seconds", "Duration of a webhook's try.",
			prometheus.ExponentialBuckets(.005, 2, 14)),
		Lag: f.histogram("ringback_delivery_lag_seconds", "Time from a job's end until its webhook was delivered.",
			[]float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 6 * 3600, 24 * 3600, 76 * 3600}),
	}
	for _, outcome := range []string{TryDelivered, TryFailed, TryDead} {
		d.Tries.WithLabelValues(outcome) // rare counters start at 0, so that the first event is a rise
	}
	return d
}

func newPushes(f factory) Pushes {
	p := Pushes{f.counters("ringback_pushes_total", "What was sent about jobs while they ran, by outcome.", "kind", "outcome")}
	for _, kind := range []string{PushStarted, PushProgress, PushStream} {
		for _, outcome := range []string{PushSent, PushFailed, PushDropped, PushCut} {
			p.Of(kind, outcome)
		}
	}
	return p
}
