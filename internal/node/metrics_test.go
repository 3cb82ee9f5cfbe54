package node_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/simulate"
)

// measured adds a registry to a setup.
func measured(s setup) (setup, *prometheus.Registry) {
	metrics, change := prometheus.NewRegistry(), s.node
	s.node = func(c *node.Config) {
		c.Metrics = metrics
		if change != nil {
			change(c)
		}
	}
	return s, metrics
}

// values returns the series of a registry: name{label="value",…} → value; of a histogram
// its count.
func values(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	must(t, err)
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			all[f.GetName()+labels(m)] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

func labels(m *dto.Metric) string {
	var all []string
	for _, l := range m.GetLabel() {
		all = append(all, l.GetName()+`="`+l.GetValue()+`"`)
	}
	if len(all) == 0 {
		return ""
	}
	return "{" + strings.Join(all, ",") + "}"
}

// wantValues waits until the series have these values; there may be others.
func (w *world) wantValues(r *prometheus.Registry, want map[string]float64) {
	w.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		got := values(w.t, r)
		wrong := slices.DeleteFunc(slices.Sorted(maps.Keys(want)), func(series string) bool {
			value, ok := got[series]
			return ok && value == want[series]
		})
		if len(wrong) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			for _, series := range wrong {
				w.t.Errorf("%s: got %v, want %v", series, got[series], want[series])
			}
			w.t.Fatalf("all series: %v", got)
		}
	}
}

// number returns a number of a JSON object.
func number(t *testing.T, object json.RawMessage, name string) float64 {
	t.Helper()
	var fields map[string]any
	must(t, json.Unmarshal(object, &fields))
	return fields[name].(float64)
}

func TestWhatBecomesOfJobsIsCounted(t *testing.T) {
	t.Parallel()
	s, metrics := measured(answering(500, 200))
	w := start(t, s)
	echo := w.ask("sim/echo", "one two three")
	w.settledDelivery(echo.ID)
	w.settledDelivery(w.ask("sim/flaky-1", "again").ID)
	w.settledDelivery(w.ask("sim/status-400", "never").ID)
	w.end(w.ask("sim/status-429?times=1", "refused").ID)
	_, err := w.try(ringback.Request{Prompt: "Hi", WebhookBody: "half"})
	fault(t, err, ringback.InvalidRequest)

	usage := w.job(echo.ID).Usage
	w.wantValues(metrics, map[string]float64{
		`ringback_jobs_submitted_total{model="sim/echo",project="default"}`:                               1,
		`ringback_jobs_submitted_total{model="sim/flaky-1",project="default"}`:                            1,
		`ringback_jobs_submitted_total{model="sim/status-400",project="default"}`:                         1,
		`ringback_jobs_submitted_total{model="sim/status-429?times=1",project="default"}`:                 1,
		`ringback_jobs_finished_total{model="sim/echo",status="completed"}`:                               1,
		`ringback_jobs_finished_total{model="sim/flaky-1",status="completed"}`:                            1,
		`ringback_jobs_finished_total{model="sim/status-429?times=1",status="completed"}`:                 1,
		`ringback_jobs_finished_total{model="sim/status-400",status="failed"}`:                            1,
		`ringback_attempts_total{model="sim/echo",outcome="answered",provider="simulated"}`:               1,
		`ringback_attempts_total{model="sim/flaky-1",outcome="answered",provider="simulated"}`:            1,
		`ringback_attempts_total{model="sim/status-429?times=1",outcome="answered",provider="simulated"}`: 1,
		`ringback_attempts_total{model="sim/flaky-1",outcome="failed",provider="simulated"}`:              1,
		`ringback_attempts_total{model="sim/status-400",outcome="failed",provider="simulated"}`:           1,
		`ringback_attempts_total{model="sim/status-429?times=1",outcome="refused",provider="simulated"}`:  1,
		`ringback_attempt_duration_seconds{model="sim/flaky-1",provider="simulated"}`:                     2,
		`ringback_time_to_first_token_seconds{model="sim/echo",provider="simulated"}`:                     1,
		`ringback_tokens_total{model="sim/echo",provider="simulated",type="input"}`:                       number(t, usage, "input_tokens"),
		`ringback_tokens_total{model="sim/echo",provider="simulated",type="output"}`:                      number(t, usage, "output_tokens"),
		`ringback_queue_wait_seconds`:                              6,
		`ringback_deliveries_total{outcome="failed"}`:              4,
		`ringback_deliveries_total{outcome="delivered"}`:           4,
		`ringback_deliveries_total{outcome="dead"}`:                0,
		`ringback_delivery_attempt_seconds`:                        8,
		`ringback_delivery_lag_seconds`:                            4,
		`ringback_submit_rejected_total{reason="invalid_request"}`: 1,
		`ringback_submit_rejected_total{reason="queue"}`:           0,
		`ringback_jobs{state="queued"}`:                            0,
		`ringback_jobs{state="running"}`:                           0,
		`ringback_queue_oldest_seconds`:                            0,
		`ringback_deliveries_pending`:                              0,
		`ringback_deliveries_pending_oldest_seconds`:               0,
		`ringback_ready`:                                           1,
	})
}

func TestACancelIsCountedOnce(t *testing.T) {
	t.Parallel()
	s, metrics := measured(setup{})
	w := start(t, s)
	j := w.ask("sim/mute", "never mind")
	w.called("never mind", 1)
	w.wantValues(metrics, map[string]float64{`ringback_jobs{state="running"}`: 1})
	for range 3 {
		_, err := w.node.Cancel(t.Context(), "default", j.ID)
		must(t, err)
		w.end(j.ID)
	}
	w.wantValues(metrics, map[string]float64{
		`ringback_jobs_finished_total{model="sim/mute",status="cancelled"}`:                  1,
		`ringback_attempts_total{model="sim/mute",outcome="cancelled",provider="simulated"}`: 1,
	})
}

func TestADeadLetterIsCounted(t *testing.T) {
	t.Parallel()
	s, metrics := measured(answering(410))
	w := start(t, s)
	w.settledDelivery(w.ask("sim/echo", "gone").ID)
	w.wantValues(metrics, map[string]float64{
		`ringback_deliveries_total{outcome="dead"}`:   1,
		`ringback_deliveries_total{outcome="failed"}`: 0,
		`ringback_delivery_lag_seconds`:               0,
	})
}

func TestWhatADeadProcessLeftIsCountedAtTheStart(t *testing.T) {
	t.Parallel()
	first := start(t, setup{node: impatient})
	j := first.ask("sim/mute", "lost")
	first.called("lost", 1)
	dir := first.kill()
	s, metrics := measured(setup{dir: dir, from: first, node: impatient})
	w := start(t, s)
	w.called("lost", 2)
	w.wantValues(metrics, map[string]float64{
		`ringback_attempts_total{model="sim/mute",outcome="uncertain",provider="simulated"}`: 1,
		`ringback_jobs{state="running"}`: 1,
	})
	if all := values(t, metrics); all[`ringback_attempt_duration_seconds{model="sim/mute",provider="simulated"}`] != 0 {
		t.Errorf("the time that the process was away counts as an attempt's, job %s: %v", j.ID, all)
	}
}

func TestHoldsAreSeenWhileTheyStand(t *testing.T) {
	t.Parallel()
	s, metrics := measured(setup{
		receiver: simulate.ReceiverConfig{Respond: []int{503}},
		node: func(c *node.Config) {
			holdsFor(time.Hour)(c)
			c.HostGate = limit.Config{BreakAfter: 2, HoldMin: time.Hour}
		},
	})
	w := start(t, s)
	w.wantValues(metrics, map[string]float64{
		`ringback_held_back{model="*",provider="simulated"}`: 0,
		`ringback_breaker_open{host_class="address"}`:        0,
		`ringback_breaker_open{host_class="name"}`:           0,
	})
	w.ask("sim/echo", "a")
	w.ask("sim/echo", "b")
	w.ask("sim/status-429", "refused")
	w.wantValues(metrics, map[string]float64{
		`ringback_held_back{model="sim/status-429",provider="simulated"}`: 1,
		`ringback_held_back{model="*",provider="simulated"}`:              0,
		`ringback_breaker_open{host_class="address"}`:                     1,
	})
	w.ask("sim/status-401", "no key")
	w.wantValues(metrics, map[string]float64{`ringback_held_back{model="*",provider="simulated"}`: 1})
}

func TestRefusalsForWantOfRoomAreCountedByTheirReason(t *testing.T) {
	t.Parallel()
	s, metrics := measured(setup{node: func(c *node.Config) { c.Concurrency, c.MaxQueued, c.DrainTimeout = 1, 1, time.Nanosecond }})
	w := start(t, s)
	w.ask("sim/mute", "runs")
	w.called("runs", 1)
	w.ask("sim/mute", "waits")
	for range 3 {
		_, err := w.try(ringback.Request{Prompt: "too many"})
		fault(t, err, ringback.Unavailable)
	}
	fault(t, w.node.NoRoomForBody(), ringback.Unavailable)
	w.wantValues(metrics, map[string]float64{
		`ringback_submit_rejected_total{reason="queue"}`:  3,
		`ringback_submit_rejected_total{reason="memory"}`: 1,
		`ringback_jobs{state="queued"}`:                   1,
		`ringback_ready`:                                  0,
	})
	w.eventually("the age of the oldest", func() bool { return values(t, metrics)["ringback_queue_oldest_seconds"] > 0 })
}
