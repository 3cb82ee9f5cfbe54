package node

import (
	"context"
	"net/netip"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/tidwall/gjson"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/shortage"
	"github.com/ringback/ringback/internal/store"
)

// metrics counts what happens to jobs and deliveries. Labels are bounded: never
// an id, a URL or a host; models without a name of their own are otherModels.
type metrics struct {
	submitted *prometheus.CounterVec // project, model
	rejected  *prometheus.CounterVec // reason
	finished  *prometheus.CounterVec // status, model

	attempts   *prometheus.CounterVec // provider, model, outcome
	queueWait  prometheus.Histogram
	attempt    *prometheus.HistogramVec // provider, model
	firstToken *prometheus.HistogramVec // provider, model
	tokens     *prometheus.CounterVec   // provider, model, type

	deliveries *prometheus.CounterVec // outcome
	try        prometheus.Histogram
	lag        prometheus.Histogram

	pushes *prometheus.CounterVec // kind, outcome

	sweeps    prometheus.Counter
	sweptJobs prometheus.Counter
	claims    *prometheus.CounterVec // kind
	fenced    *prometheus.CounterVec // kind

	panics      prometheus.Counter
	shortages   *prometheus.CounterVec // resource
	quarantined prometheus.Counter
}

// What came too late to be written, as a label.
const (
	kindJob      = "job"
	kindDelivery = "delivery"
)

// What became of a try of a webhook, as a label.
const (
	tryDelivered = "delivered"
	tryFailed    = "failed" // it is tried again
	tryDead      = "dead"
)

func newMetrics(r prometheus.Registerer) metrics {
	auto := promauto.With(r)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return auto.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	// 10 ms to 1310 s: an attempt may take an hour, most end within minutes.
	seconds := prometheus.ExponentialBuckets(.01, 2, 18)
	histogram := func(name, help string, buckets []float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}
	}
	m := metrics{
		submitted: counter("ringback_jobs_submitted_total", "Jobs accepted.", "project", "model"),
		rejected:  counter("ringback_submit_rejected_total", "Submissions refused, by the reason.", "reason"),
		finished:  counter("ringback_jobs_finished_total", "Jobs that reached their end.", "status", "model"),
		attempts:  counter("ringback_attempts_total", "Attempts that ended, by their outcome.", "provider", "model", "outcome"),
		queueWait: auto.NewHistogram(histogram("ringback_queue_wait_seconds",
			"Time from when a job was due until its attempt began.", seconds)),
		attempt: auto.NewHistogramVec(histogram("ringback_attempt_duration_seconds",
			"Time that attempts took, less those that ended uncertain.", seconds), []string{"provider", "model"}),
		firstToken: auto.NewHistogramVec(histogram("ringback_time_to_first_token_seconds",
			"Time from the beginning of an attempt to the first piece of its answer.", seconds), []string{"provider", "model"}),
		tokens:     counter("ringback_tokens_total", "Tokens, as the provider counts them.", "provider", "model", "type"),
		deliveries: counter("ringback_deliveries_total", "Tries of webhooks, by what became of them.", "outcome"),
		try: auto.NewHistogram(histogram("ringback_delivery_attempt_seconds",
			"Time that a try of a webhook took.", prometheus.ExponentialBuckets(.005, 2, 14))),
		lag: auto.NewHistogram(histogram("ringback_delivery_lag_seconds",
			"Time from a job's end until its webhook was delivered.",
			[]float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 6 * 3600, 24 * 3600, 76 * 3600})),
		pushes: counter("ringback_pushes_total", "What was sent of jobs while they ran, by what became of it.", "kind", "outcome"),
		sweeps: auto.NewCounter(prometheus.CounterOpts{Name: "ringback_sweeps_total",
			Help: "Leases that this node took from nodes which did not renew them."}),
		sweptJobs: auto.NewCounter(prometheus.CounterOpts{Name: "ringback_swept_jobs_total",
			Help: "Running jobs that this node freed, since their nodes had no lease."}),
		claims: counter("ringback_claims_total", "What was claimed from the store; what is born claimed is not.", "kind"),
		quarantined: auto.NewCounter(prometheus.CounterOpts{Name: "ringback_jobs_quarantined_total",
			Help: "Jobs that were ended because their row in the store is too large or broken."}),
		fenced: counter("ringback_fenced_writes_total", "Ends that came too late: the job or delivery had moved on.", "kind"),
		panics: auto.NewCounter(prometheus.CounterOpts{Name: "ringback_panics_total",
			Help: "Panics that ended one attempt, try or step of a loop."}),
		shortages: counter("ringback_shortages_total", "Calls and webhooks that could not begin since this machine had run short, by the resource.", "resource"),
	}
	// What is counted rarely begins at 0: the first time must be a rise.
	for _, reason := range []string{refusedDisk, refusedQueue, refusedMemory, refusedStopping, refusedDatabase, refusedRole} {
		m.rejected.WithLabelValues(reason)
	}
	for _, kind := range []string{kindJob, kindDelivery} {
		m.fenced.WithLabelValues(kind)
		m.claims.WithLabelValues(kind)
	}
	for _, what := range shortage.All {
		m.shortages.WithLabelValues(string(what))
	}
	for _, outcome := range []string{tryDelivered, tryFailed, tryDead} {
		m.deliveries.WithLabelValues(outcome)
	}
	for _, kind := range []string{pushStarted, pushProgress, pushStream} {
		for _, outcome := range []string{pushSent, pushFailed, pushDropped, pushCut} {
			m.pushes.WithLabelValues(kind, outcome)
		}
	}
	return m
}

// ended counts an attempt that began as j says.
func (m *metrics) ended(j *store.Job, model string, a *ringback.Attempt, at time.Time) {
	m.attempts.WithLabelValues(j.Provider, model, string(a.Outcome)).Inc()
	if a.Outcome != ringback.AttemptUncertain { // of which nobody knows when it ended
		m.attempt.WithLabelValues(j.Provider, model).Observe(at.Sub(j.StartedAt).Seconds())
	}
	if !a.FirstTokenAt.IsZero() {
		m.firstToken.WithLabelValues(j.Provider, model).Observe(max(0, a.FirstTokenAt.Sub(j.StartedAt).Seconds()))
	}
	for _, kind := range []string{"input", "output"} {
		if n := gjson.GetBytes(a.Usage, kind+"_tokens").Float(); n > 0 {
			m.tokens.WithLabelValues(j.Provider, model, kind).Add(n)
		}
	}
}

// settled counts a try that is stored, and what it led to.
func (m *metrics) settled(before, after *store.Delivery, end store.TryEnd) {
	switch {
	case end.Free: // no try was made
	case end.Status == ringback.DeliveryDelivered:
		m.deliveries.WithLabelValues(tryDelivered).Inc()
		if !before.Manual {
			m.lag.Observe(end.At.Sub(before.MadeAt).Seconds())
		}
	case after.Status == ringback.DeliveryDead && !before.Manual:
		m.deliveries.WithLabelValues(tryDead).Inc()
	default:
		m.deliveries.WithLabelValues(tryFailed).Inc()
	}
}

// modelLabel is a job's model as a label, of which there is a bounded number.
func (n *Node) modelLabel(l store.Lane) string { return n.names.name(l.Model) }

// gauges are what is read when somebody looks.
type gauges struct {
	n           *Node
	ready       *prometheus.Desc
	jobs        *prometheus.Desc // state
	oldest      *prometheus.Desc
	pending     *prometheus.Desc
	pendingAge  *prometheus.Desc
	deadLetters *prometheus.Desc // kind
	held        *prometheus.Desc // provider, model
	breaker     *prometheus.Desc // host_class
	leaseAge    *prometheus.Desc
	nodes       *prometheus.Desc
	streams     *prometheus.Desc
	memory      *prometheus.Desc // budget
	memoryLimit *prometheus.Desc // budget
}

// anyModel stands for all models of a provider: its key is held back.
const anyModel = "*"

func newGauges(n *Node) *gauges {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &gauges{
		n:           n,
		ready:       desc("ringback_ready", "1 if the node takes jobs, as /readyz says."),
		jobs:        desc("ringback_jobs", "Jobs that wait or run.", "state"),
		oldest:      desc("ringback_queue_oldest_seconds", "For how long the oldest job that is due has been due; 0 if none is."),
		pending:     desc("ringback_deliveries_pending", "Webhooks that have not arrived: waiting or being sent, including redeliveries."),
		pendingAge:  desc("ringback_deliveries_pending_oldest_seconds", "Age of the oldest pending webhook; 0 if there is none."),
		deadLetters: desc("ringback_dead_letters", "Dead letters that are kept.", "kind"),
		held:        desc("ringback_held_back", "Holds that stand against a provider's models, or against its key (model *).", "provider", "model"),
		breaker:     desc("ringback_breaker_open", "Hosts of receivers that are held back.", "host_class"),
		leaseAge:    desc("ringback_lease_age_seconds", "For how long the node has not renewed its lease; 0 if that lasts as long as the process."),
		nodes:       desc("ringback_nodes", "Nodes that live, as this one's last renewal showed."),
		streams:     desc("ringback_pushed_streams", "Streams that are being pushed to a stream_to."),
		memory:      desc("ringback_memory_bytes", "Memory charged to a budget.", "budget"),
		memoryLimit: desc("ringback_memory_limit_bytes", "Size of a budget of memory.", "budget"),
	}
}

// Describe is for the registry.
func (g *gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.ready, g.jobs, g.oldest, g.pending, g.pendingAge, g.deadLetters, g.held, g.breaker, g.leaseAge, g.nodes, g.streams, g.memory, g.memoryLimit} {
		out <- d
	}
}

// Collect is for the registry. What can't be read is left out.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	give := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	ready := 0.0
	if g.n.Readiness().Ready {
		ready = 1
	}
	give(g.ready, ready)
	l := g.n.members.Session()
	give(g.leaseAge, l.Age().Seconds())
	give(g.nodes, float64(l.Alive()))
	give(g.streams, float64(g.n.streams.count()))
	for name, b := range g.n.memory.byName() {
		give(g.memory, float64(b.Used()), name)
		give(g.memoryLimit, float64(b.Size()), name)
	}
	give(g.jobs, float64(g.n.inflight.count()), string(ringback.Running))
	if queued, err := g.n.store.Queued(ctx); err == nil {
		give(g.jobs, float64(queued), string(ringback.Queued))
	}
	if oldest, err := g.n.oldest(ctx, g.n.clock.Now()); err == nil {
		give(g.oldest, oldest.Seconds())
	}
	if p, err := g.n.store.PendingDeliveries(ctx); err == nil {
		give(g.pending, float64(p.Count))
		give(g.pendingAge, age(p.Oldest, g.n.clock.Now()).Seconds())
	}
	if dead, err := g.n.store.DeadLetters(ctx); err == nil {
		give(g.deadLetters, float64(dead.Jobs), "job")
		give(g.deadLetters, float64(dead.Deliveries), "delivery")
	}
	for t, count := range g.n.jobs.heldBack() {
		give(g.held, float64(count), t.provider, t.model)
	}
	for class, count := range g.n.deliveries.holds() {
		give(g.breaker, float64(count), class)
	}
}

// age is the time since something was made; 0 for the zero time.
func age(made, now time.Time) time.Duration {
	if made.IsZero() {
		return 0
	}
	return max(0, now.Sub(made))
}

// oldest is for how long the oldest job that is due has been due.
func (n *Node) oldest(ctx context.Context, now time.Time) (time.Duration, error) {
	w, err := n.store.DueJobs(ctx, now)
	if err != nil {
		return 0, err
	}
	first := now
	if w.Suspects.Count > 0 && w.Suspects.Due.Before(first) {
		first = w.Suspects.Due
	}
	for _, l := range w.Lanes {
		if l.Count > 0 && l.Due.Before(first) {
			first = l.Due
		}
	}
	return now.Sub(first), nil
}

// heldBack counts the holds that stand, by provider and by the label of the model.
// Keys, and models that are called, count 0 when they are not. A key counts too while
// every call since the last answer was refused.
func (s *callScheduler) heldBack() map[target]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := map[target]int{}
	for provider, g := range s.keys {
		held[target{provider, anyModel}] = max(isHeld(g), min(1, len(s.records[provider].refused)))
	}
	for t, g := range s.gates {
		held[target{t.provider, s.names.name(t.model)}] += isHeld(g)
	}
	return held
}

// holds counts the hosts on hold, by their class.
func (s *sendScheduler) holds() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := map[string]int{hostName: 0, hostAddress: 0}
	for h, to := range s.hosts {
		held[hostClass(h.Host)] += isHeld(to.gate)
	}
	return held
}

func isHeld(g *limit.Gate) int {
	if _, _, held := g.Held(); held {
		return 1
	}
	return 0
}

// What receivers' hosts are, as a label: there may be any number of them.
const (
	hostName    = "name"
	hostAddress = "address" // a literal one
)

func hostClass(host string) string {
	u, err := url.Parse(host)
	if err != nil {
		return hostName
	}
	if _, err := netip.ParseAddr(u.Hostname()); err != nil {
		return hostName
	}
	return hostAddress
}
