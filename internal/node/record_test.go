package node_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/simulate"
)

// journal is a node's log at debug.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// entry is a line of the log.
type entry map[string]any

func (j *journal) entries(t *testing.T) (all []entry) {
	t.Helper()
	for line := range strings.Lines(j.String()) {
		var e entry
		must(t, json.Unmarshal([]byte(line), &e))
		all = append(all, e)
	}
	return all
}

// of returns the messages with this value of an attribute.
func (j *journal) of(t *testing.T, attr, value string) (all []string) {
	t.Helper()
	for _, e := range j.entries(t) {
		if e[attr] == value {
			all = append(all, e["msg"].(string))
		}
	}
	return all
}

// journaled adds a log to a setup.
func journaled(s setup) (setup, *journal) {
	log, change := &journal{}, s.node
	s.node = func(c *node.Config) {
		c.Logger = slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		if change != nil {
			change(c)
		}
	}
	return s, log
}

func TestAJobsWholeLifeCanBeReadInTheLog(t *testing.T) {
	t.Parallel()
	s, log := journaled(answering(500, 200))
	w := start(t, s)
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	submission := asking(ringback.Request{Prompt: "Hi", Model: "sim/flaky-1", CallbackURL: w.callback})
	submission.Options.TraceParent = "00-" + trace + "-00f067aa0ba902b7-01"
	j, _, err := w.node.Submit(t.Context(), submission)
	must(t, err)
	w.settledDelivery(j.ID)
	want := []string{
		"job accepted", "attempt started", "attempt ended", "job waits for its next attempt", "attempt started", "attempt ended",
		"job ended", "webhook made", "webhook not delivered", "webhook waits for its next try", "webhook delivered",
	}
	w.eventually("all lines", func() bool { return len(log.of(t, "job_id", j.ID)) >= len(want) })
	if got := log.of(t, "job_id", j.ID); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if got := log.of(t, "trace_id", trace); len(got) != 10 {
		t.Errorf("in the trace: %q, want all but the wait for the next try", got)
	}
	for _, e := range log.entries(t) {
		if e["job_id"] == j.ID && e["level"] != "DEBUG" {
			t.Errorf("an event in the life of one job is at %s: %v", e["level"], e)
		}
		if e["msg"] == "attempt ended" && (e["provider"] != "simulated" || e["model"] != "sim/flaky-1" || e["node"] != w.node.ID() || e["ms"] == nil || e["outcome"] == nil) {
			t.Errorf("an attempt's end says %v", e)
		}
	}
}

func TestTheLogAndTheLedgerSayWhatBrokeAnAttempt(t *testing.T) {
	t.Parallel()
	s, log := journaled(setup{})
	w := start(t, s)
	j := w.ask("sim/break-off", "broken")
	w.eventually("the line", func() bool { return slices.Contains(log.of(t, "job_id", j.ID), "attempt failed") })
	for _, e := range log.entries(t) {
		if e["msg"] == "attempt failed" && (e["code"] != string(ringback.CodeStreamBroken) || !strings.Contains(fmt.Sprint(e["err"]), "unexpected EOF")) {
			t.Errorf("got %v, want the cause", e)
		}
	}
	w.eventually("the ledger's row", func() bool {
		ledger := w.ledger(j.ID)
		return len(ledger) > 0 && strings.HasSuffix(ledger[0].Error, "broke off: unexpected EOF")
	})
}

func TestTheLogSaysHowAJobEndedOtherwise(t *testing.T) {
	t.Parallel()
	s, log := journaled(answering(410))
	w := start(t, s)
	cancelled := w.ask("sim/mute", "cancelled")
	w.called("cancelled", 1)
	_, err := w.node.Cancel(t.Context(), "default", cancelled.ID)
	must(t, err)
	w.settledDelivery(cancelled.ID)
	want := []string{
		"job accepted", "attempt started", "job is to be cancelled", "attempt ended", "job ended", "webhook made",
		"webhook not delivered", "webhook is a dead letter",
	}
	w.eventually("all lines", func() bool { return len(log.of(t, "job_id", cancelled.ID)) >= len(want) })
	if got := log.of(t, "job_id", cancelled.ID); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	failed := w.ask("sim/status-400", "wrong")
	w.end(failed.ID)
	w.eventually("the end", func() bool {
		return slices.ContainsFunc(log.entries(t), func(e entry) bool {
			return e["job_id"] == failed.ID && e["msg"] == "job ended" && e["status"] == "failed" && e["code"] == "provider_rejected"
		})
	})
}

func TestTheLogSaysWhenHoldsBeginAreProbedAndEnd(t *testing.T) {
	t.Parallel()
	var revoked atomic.Bool
	revoked.Store(true)
	wall := &firewall{rule: func(body string, _ int64) int {
		if revoked.Load() && strings.Contains(body, "no key") {
			return 401
		}
		return 0
	}}
	s, log := journaled(setup{
		receiver: simulate.ReceiverConfig{Respond: []int{500, 500, 200}},
		upstream: wall.before,
		node: func(c *node.Config) {
			c.Gate = limit.Config{HoldMin: 20 * time.Millisecond, HoldMax: 20 * time.Millisecond}
			c.HostGate = limit.Config{BreakAfter: 2, HoldMin: 20 * time.Millisecond, HoldMax: 20 * time.Millisecond}
		},
	})
	w := start(t, s)
	// First, since a key that was answered a moment ago is not held so soon.
	noKey := []string{w.ask("sim/echo", "no key 1").ID, w.ask("sim/echo", "no key 2").ID, w.ask("sim/echo", "no key 3").ID}
	w.eventually("the hold on the key", func() bool { return slices.Contains(log.of(t, "model", "*"), "calls are held back") })
	revoked.Store(false)
	for _, id := range noKey {
		w.settledDelivery(id)
	}
	w.settledDelivery(w.ask("sim/status-429?times=1", "refused").ID)
	want := []string{"calls are held back", "a call finds out whether the hold is over", "calls are no longer held back"}
	for _, hold := range [][2]string{{"model", "sim/status-429?times=1"}, {"model", "*"}, {"host", strings.TrimSuffix(w.callback, "/hook")}} {
		w.eventually("the hold on "+hold[1], func() bool {
			got := log.of(t, hold[0], hold[1])
			return slices.Contains(got, want[0]) && slices.Contains(got, want[2]) && (hold[1] == "*" || slices.Contains(got, want[1]))
		})
	}
	for _, e := range log.entries(t) {
		switch {
		case e["msg"] == want[0] && (e["level"] != "WARN" || e["reason"] == "" || e["until"] == nil),
			e["msg"] == want[2] && (e["level"] != "INFO" || e["ms"] == nil):
			t.Errorf("got %v", e)
		}
	}
}

func TestASpellOfRefusalsIsToldOnce(t *testing.T) {
	t.Parallel()
	s, log := journaled(setup{node: func(c *node.Config) { c.Concurrency, c.MaxQueued, c.DrainTimeout = 1, 1, time.Nanosecond }})
	w := start(t, s)
	w.ask("sim/mute", "runs")
	w.called("runs", 1)
	w.ask("sim/mute", "waits")
	for range 100 {
		_, err := w.try(ringback.Request{Prompt: "too many"})
		fault(t, err, ringback.Unavailable)
	}
	if got := log.of(t, "reason", "queue"); !slices.Equal(got, []string{"submissions are refused"}) {
		t.Errorf("got %q", got)
	}
	w.node.RecordRefusals(time.Now().Add(time.Minute))
	if got := log.of(t, "reason", "queue"); !slices.Equal(got, []string{"submissions are refused", "submissions are refused no longer"}) {
		t.Errorf("afterwards: got %q", got)
	}
	if !strings.Contains(log.String(), `"refused":100`) {
		t.Errorf("the log does not say how many were refused:\n%s", log)
	}
}

// Everything that clients, providers and receivers send in confidence has a mark in it. The
// log must not have the mark, whatever happens to the job.
func TestNoSecretAndNoBodyIsInTheLog(t *testing.T) {
	t.Parallel()
	const mark = "confidential"
	s, log := journaled(setup{
		client: func(c *provider.Config) { c.APIKey = "key-" + mark },
		receiver: simulate.ReceiverConfig{Answer: func(d simulate.Delivery) simulate.Answer {
			return simulate.Answer{Status: []int{500, 302, 200}[min(d.Try-1, 2)], Body: "body-" + mark}
		}},
	})
	w := start(t, s)
	for _, model := range []string{"sim/echo", "sim/flaky-1", "sim/break-off", "sim/status-400", "sim/status-401?times=1", "sim/status-429?times=1", "sim/garbage"} {
		j := w.submit(ringback.Request{
			Model: model, Prompt: mark, System: json.RawMessage(`"` + mark + `"`), MaxAttempts: new(2),
			Metadata:        json.RawMessage(`{"who":"` + mark + `"}`),
			Params:          map[string]json.RawMessage{"stop_sequences": json.RawMessage(`["` + mark + `"]`)},
			CallbackURL:     w.callback + "?token=" + mark,
			CallbackHeaders: map[string]string{"Authorization": "Bearer " + mark},
		})
		w.settledDelivery(j.ID)
	}
	for _, url := range []string{"http://user:" + mark + "@127.0.0.1/", "http://" + mark + ":x@/", "ftp://" + mark} {
		_, err := w.try(ringback.Request{Prompt: mark, CallbackURL: url})
		fault(t, err, ringback.InvalidRequest)
	}
	w.stop()
	text := log.String()
	if len(text) < 1000 {
		t.Fatalf("hardly anything is in the log:\n%s", text)
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, mark) || strings.Contains(line, "whsec_") {
			t.Errorf("a secret is in the log: %s", line)
		}
	}
}
