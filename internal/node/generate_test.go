package node_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/simulate"
)

func TestAnAnswerComesBackByAWebhookSignedBothWays(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	j := w.submit(ringback.Request{Prompt: "Grüße 👋", Metadata: []byte(`{"order":17}`)})

	d := w.webhook(j.ID)
	if !d.Verified() {
		t.Errorf("signatures: simple %v, standard %v", d.SimpleErr, d.StandardErr)
	}
	e := event(t, d)
	if e.Type != ringback.EventCompleted || e.ID != j.ID || e.Result == nil || *e.Result != "Grüße 👋" || string(e.Metadata) != `{"order":17}` {
		t.Errorf("webhook: got %s", d.Body)
	}
	got := w.end(j.ID)
	if got.Status != ringback.Completed || *got.Result != "Grüße 👋" || got.Attempts != 1 || *got.QueueMS < 0 {
		t.Errorf("job: got %+v", got)
	}
	w.wantOutcomes(j.ID, answered)
	if a := w.ledger(j.ID)[0]; a.FirstTokenAt.IsZero() || a.ProviderRequestID == "" || len(a.Usage) == 0 || a.Node != w.node.ID() {
		t.Errorf("ledger: got %+v", a)
	}
}

// Each kind of answer of a provider that ends a job.
func TestWhatTheProviderSaysDecidesAboutTheJob(t *testing.T) {
	t.Parallel()
	w := start(t, setup{client: func(c *provider.Config) { c.MaxAnswer = 64 << 10 }})
	// For tests of silence, which must be seen soon.
	brisk := start(t, setup{client: func(c *provider.Config) { c.IdleTimeout = time.Second }})
	thrice := []ringback.AttemptOutcome{failed, failed, failed}
	for _, c := range []struct {
		model    string
		outcomes []ringback.AttemptOutcome
		code     ringback.ErrorDetailCode // "" for completed
		kind     string
		status   int
		partial  bool
	}{
		{model: "sim/echo", outcomes: []ringback.AttemptOutcome{answered}},
		{model: "sim/think", outcomes: []ringback.AttemptOutcome{answered}},
		{model: "sim/tool", outcomes: []ringback.AttemptOutcome{answered}},
		{model: "sim/flaky-2", outcomes: []ringback.AttemptOutcome{failed, failed, answered}},
		{model: "sim/flaky-3", outcomes: thrice, code: ringback.CodeProviderError, kind: "api_error", status: 500},
		{model: "sim/status-408", outcomes: thrice, code: ringback.CodeProviderError, kind: "invalid_request_error", status: 408},
		{model: "sim/status-409", outcomes: thrice, code: ringback.CodeProviderError, kind: "conflict_error", status: 409},
		{model: "sim/status-425", outcomes: thrice, code: ringback.CodeProviderError, kind: "invalid_request_error", status: 425},
		{model: "sim/status-500", outcomes: thrice, code: ringback.CodeProviderError, kind: "api_error", status: 500},
		{model: "sim/status-503", outcomes: thrice, code: ringback.CodeProviderError, kind: "api_error", status: 503},
		{model: "sim/status-504", outcomes: thrice, code: ringback.CodeProviderError, kind: "timeout_error", status: 504},
		{model: "sim/status-307", outcomes: thrice, code: ringback.CodeProviderError, kind: "invalid_request_error", status: 307},
		{model: "sim/status-400", outcomes: thrice[:1], code: ringback.CodeProviderRejected, kind: "invalid_request_error", status: 400},
		{model: "sim/status-413", outcomes: thrice[:1], code: ringback.CodeProviderRejected, kind: "request_too_large", status: 413},
		{model: "sim/status-422", outcomes: thrice[:1], code: ringback.CodeProviderRejected, kind: "invalid_request_error", status: 422},
		{model: "sim/nobody", outcomes: thrice[:1], code: ringback.CodeModelNotFound, kind: "not_found_error", status: 404},
		{model: "sim/break-off-3", outcomes: thrice, code: ringback.CodeStreamBroken, status: 200, partial: true},
		{model: "sim/short-3", outcomes: thrice, code: ringback.CodeStreamBroken, status: 200, partial: true},
		{model: "sim/garbage-3", outcomes: thrice, code: ringback.CodeStreamBroken, status: 200, partial: true},
		{model: "sim/silent-3", outcomes: thrice, code: ringback.CodeIdle, status: 200, partial: true},
		{model: "sim/endless", outcomes: thrice, code: ringback.CodeTooLarge, status: 200, partial: true},
		// An overloaded error after 3 words is paid for: it must not be retried as if it
		// had cost nothing.
		{model: "sim/error-after-3", outcomes: thrice, code: ringback.CodeProviderError, kind: "overloaded_error", status: 529, partial: true},
	} {
		t.Run(strings.TrimPrefix(c.model, "sim/"), func(t *testing.T) {
			t.Parallel()
			w := w.in(t)
			if c.code == ringback.CodeIdle {
				w = brisk.in(t)
			}
			prompt := "say: " + c.model
			j := w.end(w.ask(c.model, prompt).ID)
			e := event(t, w.webhook(j.ID))

			w.wantOutcomes(j.ID, c.outcomes...)
			w.wantCalls(prompt, len(c.outcomes))
			w.wantWebhooks(j.ID, 1)
			if j.Attempts != len(c.outcomes) || e.Attempts != j.Attempts {
				t.Errorf("attempts: job %d, webhook %d, want %d", j.Attempts, e.Attempts, len(c.outcomes))
			}
			if c.code == "" {
				if j.Status != ringback.Completed || e.Type != ringback.EventCompleted || j.ErrorDetail != nil || *e.Result != *j.Result {
					t.Errorf("got %+v and %+v, want completed", j, e)
				}
				return
			}
			want := ringback.ErrorDetail{Code: c.code, Type: c.kind, StatusCode: c.status, Attempts: len(c.outcomes)}
			if j.ErrorDetail == nil || *j.ErrorDetail != want || e.ErrorDetail == nil || *e.ErrorDetail != want {
				t.Errorf("error_detail: job %+v, webhook %+v, want %+v", j.ErrorDetail, e.ErrorDetail, want)
			}
			if j.Status != ringback.Failed || e.Type != ringback.EventFailed || j.Error == "" || e.Error != j.Error {
				t.Errorf("got %s %q, webhook %s %q, want failed with a sentence", j.Status, j.Error, e.Type, e.Error)
			}
			if got := j.PartialResult != "" && len(j.Usage) > 0; got != c.partial || e.PartialResult != j.PartialResult || string(e.Usage) != string(j.Usage) {
				t.Errorf("partial: job %q with %s, webhook %q with %s, want any: %v", j.PartialResult, j.Usage, e.PartialResult, e.Usage, c.partial)
			}
			last := w.ledger(j.ID)[len(c.outcomes)-1]
			if last.StatusCode != c.status || last.Error == "" || last.FirstTokenAt.IsZero() == c.partial {
				t.Errorf("ledger: got %+v", last)
			}
		})
	}
}

func TestAnAttemptThatTakesTooLongFailsAndKeepsWhatHadCome(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	one := 1
	j := w.submit(ringback.Request{Model: "sim/slow?pace=100ms", TimeoutSeconds: &one, MaxAttempts: &one})
	got := w.end(j.ID)
	if got.Status != ringback.Failed || got.ErrorDetail.Code != ringback.CodeTimeout || got.PartialResult == "" || *got.DurationMS < 1000 {
		t.Errorf("got %s %+v after %d ms with %q, want a timeout after 1 s", got.Status, got.ErrorDetail, *got.DurationMS, got.PartialResult)
	}
	w.call(func(c simulate.Call) bool { return c.End == simulate.ClientLeft })
}

func TestBeforeTheFirstEventOnlyTheAttemptsLimitHolds(t *testing.T) {
	t.Parallel()
	w := start(t, setup{client: func(c *provider.Config) { c.IdleTimeout = 20 * time.Millisecond }})
	if got := w.end(w.ask("sim/echo?first=300ms", "think first").ID); got.Status != ringback.Completed || got.Attempts != 1 {
		t.Errorf("got %s after %d attempts, want completed by the first", got.Status, got.Attempts)
	}
}

func TestAPartialAnswerOfAnEarlierAttemptIsKept(t *testing.T) {
	t.Parallel()
	// The second call is held before it has sent a word.
	broken := make(chan struct{})
	w := start(t, setup{hold: func(c simulate.Call) <-chan struct{} {
		if c.Number == 2 {
			return broken
		}
		return nil
	}})
	j := w.submit(ringback.Request{Model: "sim/break-off-3", Prompt: "twice", MaxAttempts: new(2)})
	w.called("twice", 2)
	half := w.job(j.ID)
	if half.Status != ringback.Running || half.PartialResult == "" {
		t.Errorf("between the attempts: got %s with %q, want running with the part that came", half.Status, half.PartialResult)
	}
	_, err := w.node.Cancel(t.Context(), "default", j.ID)
	must(t, err)
	got := w.end(j.ID)
	if got.Status != ringback.Cancelled || got.PartialResult != half.PartialResult {
		t.Errorf("got %s with %q, want cancelled with %q of the first attempt", got.Status, got.PartialResult, half.PartialResult)
	}
	if e := event(t, w.webhook(j.ID)); e.PartialResult != half.PartialResult {
		t.Errorf("webhook: got %q, want %q", e.PartialResult, half.PartialResult)
	}
	close(broken)
}

// A store that panics plays a mistake of ours.
func TestAPanicOfOursIsAFailedAttemptAndNotTheEndOfTheProcess(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: func(c *node.Config) {
		c.Store = &panickingStore{Store: c.Store}
		c.Concurrency = 1
	}})
	// The only slot is taken, so that the next job's request is read from the store.
	first := w.ask("sim/mute", "hang")
	w.called("hang", 1)
	second := w.ask("sim/echo", "panic")
	_, err := w.node.Cancel(t.Context(), "default", first.ID)
	must(t, err)

	got := w.end(second.ID)
	want := ringback.ErrorDetail{Code: ringback.CodeInternal, Attempts: 3}
	if got.Status != ringback.Failed || *got.ErrorDetail != want || strings.Contains(got.Error, "mistake") {
		t.Errorf("got %s %+v %q, want failed with %+v and no word of the panic", got.Status, got.ErrorDetail, got.Error, want)
	}
	w.wantCalls("panic", 0)
	if third := w.end(w.ask("sim/echo", "after it").ID); third.Status != ringback.Completed {
		t.Errorf("the job after it: got %s, want completed", third.Status)
	}
}
