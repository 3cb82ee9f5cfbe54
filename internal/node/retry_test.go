package node_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/reading"
	"github.com/ringback/ringback/internal/simulate"
)

const (
	answered  = ringback.AttemptAnswered
	failed    = ringback.AttemptFailed
	refused   = ringback.AttemptRefused
	uncertain = ringback.AttemptUncertain
	cancelled = ringback.AttemptCancelled
	released  = ringback.AttemptReleased
)

// holdsFor makes holds last for d: so long that no test sees their end, or short.
func holdsFor(d time.Duration) func(*node.Config) {
	return func(c *node.Config) { c.Gate = limit.Config{HoldMin: d, HoldMax: d} }
}

func TestARefusalCostsNoAttempt(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	for model, times := range map[string]int{
		"sim/429":                                   2, // with Retry-After: 1
		"sim/status-429?times=4":                    4,
		"sim/status-529?times=4":                    4,
		"sim/status-503?times=1&retry_after=1":      1,
		"sim/status-503?times=1&retry_after=0.0001": 1,
	} {
		t.Run(strings.TrimPrefix(model, "sim/"), func(t *testing.T) {
			t.Parallel()
			w := w.in(t)
			j := w.submit(ringback.Request{Model: model, Prompt: model, MaxAttempts: new(1)})
			got := w.end(j.ID)
			if got.Status != ringback.Completed || got.Attempts != 1 {
				t.Errorf("got %s after %d attempts, want completed by the first that counts", got.Status, got.Attempts)
			}
			w.wantOutcomes(j.ID, append(slices.Repeat([]ringback.AttemptOutcome{refused}, times), answered)...)
			w.webhook(j.ID)
			w.wantWebhooks(j.ID, 1)
			ledger := w.ledger(j.ID)
			if ledger[0].StatusCode < 429 || ledger[0].Error == "" {
				t.Errorf("ledger of a refusal: got %+v", ledger[0])
			}
			if named := strings.Contains(model, "after=1") || model == "sim/429"; named {
				if waited := ledger[1].StartedAt.Sub(ledger[0].EndedAt.Time); waited < 990*time.Millisecond {
					t.Errorf("called again after %s, want the second that Retry-After names", waited)
				}
			}
		})
	}
}

// Eight calls are in flight when the first is refused.
func TestARetryStormIsImpossible(t *testing.T) {
	t.Parallel()
	burst := make(chan struct{})
	w := start(t, setup{
		node: func(c *node.Config) {
			holdsFor(time.Hour)(c)
			c.Providers["simulated"] = node.Provider{Client: c.Providers["simulated"].Client, Concurrency: 8}
		},
		hold: func(c simulate.Call) <-chan struct{} { return burstOf(c, "sim/status-429", burst) },
	})
	var ids []string
	for range 40 {
		ids = append(ids, w.ask("sim/status-429", "storm").ID)
	}
	w.called("storm", 8)
	close(burst)
	for _, id := range ids {
		w.eventually("the wait behind the hold", func() bool {
			j := w.job(id)
			return j.Status == ringback.Queued && j.StatusReason == "provider_refused"
		})
	}
	if j := w.end(w.ask("sim/echo", "another model").ID); j.Status != ringback.Completed {
		t.Errorf("another model of the provider: got %s", j.Status)
	}
	w.wantCalls("storm", 8)
}

// burstOf holds back the calls of a model.
func burstOf(c simulate.Call, model string, until chan struct{}) <-chan struct{} {
	if c.Model == model {
		return until
	}
	return nil
}

func TestAfterAHoldOneProbeAtATimeFindsOut(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: holdsFor(2 * time.Millisecond)})
	// The first refusal begins the hold before there are other jobs.
	first := w.ask("sim/status-429", "probe")
	w.eventually("the hold", func() bool { return w.job(first.ID).StatusReason == "provider_refused" })
	for range 20 {
		w.ask("sim/status-429", "probe")
	}
	w.call(func(c simulate.Call) bool { return c.Number >= 60 && c.End == simulate.Refused })
	var spans []ringback.Attempt
	page, err := w.node.Jobs(t.Context(), "default", reading.JobQuery{Limit: 100})
	must(t, err)
	for _, j := range page.Data {
		spans = append(spans, w.ledger(j.ID)...)
	}
	slices.SortFunc(spans, func(a, b ringback.Attempt) int { return a.StartedAt.Compare(b.StartedAt.Time) })
	for i := range len(spans) - 1 {
		// The ledger's times are in whole milliseconds; the one that runs has no end.
		if end := spans[i].EndedAt; !end.IsZero() && spans[i+1].StartedAt.Before(end.Time) {
			t.Fatalf("attempt %d began at %s, before the one before it ended at %s", i+1, spans[i+1].StartedAt, end)
		}
	}
}

// An answer may take ten minutes: those that wait for the probe need not.
func TestAHoldEndsWithTheFirstWordOfTheProbe(t *testing.T) {
	t.Parallel()
	answers := make(chan struct{})
	w := start(t, setup{hold: func(c simulate.Call) <-chan struct{} {
		if c.Number == 2 && c.Words > 0 {
			return answers
		}
		return nil
	}})
	// The model refuses the first, answers the second, refuses the third …
	const model = "sim/status-429?times=1&words=20&pace=1ms"
	first := w.ask(model, "slowly")
	w.called("slowly", 2)
	second := w.ask(model, "slowly")
	w.called("slowly", 3)
	if got := w.calls.Of("slowly")[1]; got.End != simulate.Running {
		t.Errorf("the probe: got %q, want it still running", got.End)
	}
	close(answers)
	for _, j := range []ringback.Job{first, second} {
		if got := w.end(j.ID); got.Status != ringback.Completed {
			t.Errorf("got %s, want completed", got.Status)
		}
	}
}

// A prompt that alone exceeds the provider's limit must not be every probe.
func TestARefusedJobGoesBehindThoseNotRefused(t *testing.T) {
	t.Parallel()
	allThere := make(chan struct{})
	w := start(t, setup{
		node: func(c *node.Config) {
			holdsFor(5 * time.Millisecond)(c)
			c.Concurrency = 1
		},
		hold: func(c simulate.Call) <-chan struct{} {
			if c.Number == 1 {
				return allThere
			}
			return nil
		},
	})
	prompts := []string{"first", "second", "third", "fourth", "fifth"}
	var last ringback.Job
	for _, p := range prompts {
		last = w.ask("sim/status-429?times=1", p)
	}
	close(allThere)
	w.end(last.ID)
	var order []string
	for _, c := range w.calls.Calls()[:len(prompts)] {
		order = append(order, c.Prompt)
	}
	if !slices.Equal(order, prompts) {
		t.Errorf("the first calls: got %v, want one for each job", order)
	}
}

func TestMaxWaitIsCountedFromAJobsOwnFirstRefusal(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: holdsFor(time.Hour)})
	refusedOne := w.submit(ringback.Request{Model: "sim/status-429", Prompt: "refused", MaxWaitSeconds: new(1)})
	w.eventually("the hold", func() bool { return w.job(refusedOne.ID).StatusReason == "provider_refused" })
	behind := w.submit(ringback.Request{Model: "sim/status-429", Prompt: "behind", MaxWaitSeconds: new(1)})
	later := w.submit(ringback.Request{Model: "sim/status-429", ExpiresAt: &ringback.Time{Time: time.Now().Add(2500 * time.Millisecond)}})

	got := w.end(refusedOne.ID)
	if got.Status != ringback.Failed || got.ErrorDetail.Code != ringback.CodeMaxWait || got.Attempts != 0 {
		t.Errorf("refused: got %s %+v after %d attempts, want failed by max_wait after none", got.Status, got.ErrorDetail, got.Attempts)
	}
	if waited := got.EndedAt.Sub(w.ledger(got.ID)[0].EndedAt.Time); waited < 990*time.Millisecond {
		t.Errorf("it failed %s after its refusal, want 1 s", waited)
	}
	if e := event(t, w.webhook(got.ID)); e.Type != ringback.EventFailed || e.ErrorDetail.Code != ringback.CodeMaxWait {
		t.Errorf("webhook: got %s %+v", e.Type, e.ErrorDetail)
	}
	if got := w.end(later.ID); got.Status != ringback.Expired || !strings.Contains(got.Error, "provider_refused") {
		t.Errorf("the one with expires_at: got %s %q, want expired with the reason", got.Status, got.Error)
	}
	if got := w.job(behind.ID); got.Status != ringback.Queued {
		t.Errorf("behind the hold for longer than max_wait: got %s, want queued: it was never refused", got.Status)
	}
	w.wantCalls("behind", 0)
}

func TestAJobThatIsRefusedAgainAndAgainFailsAtMaxWait(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	got := w.end(w.submit(ringback.Request{Model: "sim/status-429", MaxWaitSeconds: new(1)}).ID)
	if got.Status != ringback.Failed || got.ErrorDetail.Code != ringback.CodeMaxWait || !strings.Contains(got.Error, "max_wait_seconds") {
		t.Errorf("got %s %+v %q, want failed by max_wait", got.Status, got.ErrorDetail, got.Error)
	}
	for _, a := range w.ledger(got.ID) {
		if a.Outcome != refused {
			t.Errorf("ledger: got %s, want only refusals", a.Outcome)
		}
	}
}

// A revoked key must not turn a million queued jobs into dead letters.
func TestARefusedKeyHoldsAllItsModelsUntilAnotherKeyIsThere(t *testing.T) {
	t.Parallel()
	w := start(t, setup{
		provider: simulate.ProviderConfig{Key: "right"},
		client:   func(c *provider.Config) { c.APIKey = "wrong" },
		node:     holdsFor(time.Hour),
	})
	first := w.refuseKey("sim/echo")
	ids := []string{first.ID}
	for _, model := range []string{"sim/echo", "sim/think", "sim/tool"} {
		j := w.ask(model, "another")
		if got := w.job(j.ID); got.Status != ringback.Queued || got.StatusReason != "provider_refused_key" {
			t.Errorf("%s: got %s %q, want waiting for the key", model, got.Status, got.StatusReason)
		}
		ids = append(ids, j.ID)
	}
	w.wantCalls("another", 0)
	w.wantCalls("refused", 3)
	w.stop()

	w = start(t, setup{dir: w.dir, from: w, client: func(c *provider.Config) { c.APIKey = "right" }})
	for _, id := range ids {
		if j := w.end(id); j.Status != ringback.Completed || j.Attempts != 1 {
			t.Errorf("with the right key: got %s after %d attempts, want completed by the first", j.Status, j.Attempts)
		}
	}
}

func TestWhatSpeaksOfOurAccountHoldsTheKey(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"401", "402", "403"} {
		w := start(t, setup{node: holdsFor(time.Hour)})
		j := w.refuseKey("sim/status-" + status)
		if got := w.job(w.ask("sim/echo", "another model").ID); got.Status != ringback.Queued || got.StatusReason != "provider_refused_key" {
			t.Errorf("%s: another model is %s %q, want waiting too", status, got.Status, got.StatusReason)
		}
		w.wantOutcomes(j.ID, refused)
	}
}

func TestAKeyThatWorksAgainIsFoundOutByAProbe(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	j := w.submit(ringback.Request{Model: "sim/status-401?times=3", MaxAttempts: new(1), MaxWaitSeconds: new(1)})
	if got := w.end(j.ID); got.Status != ringback.Completed {
		t.Errorf("got %s, want completed", got.Status)
	}
	w.wantOutcomes(j.ID, refused, refused, refused, answered)
}

func TestManyFailuresMakeJobsWaitInsteadOfBurningAttempts(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: func(c *node.Config) {
		c.Gate = limit.Config{BreakAfter: 4, HoldMin: time.Hour, HoldMax: time.Hour}
		c.RetryDelay = time.Millisecond
	}})
	var ids []string
	for range 10 {
		ids = append(ids, w.ask("sim/status-500", "outage").ID)
	}
	for _, id := range ids {
		w.eventually("the wait", func() bool {
			j := w.job(id)
			return j.Status == ringback.Queued && j.StatusReason == "provider_failing" || j.Status == ringback.Failed
		})
	}
	w.end(w.ask("sim/echo", "another model").ID)
	if calls := len(w.calls.Of("outage")); calls < 4 || calls > 4+9 {
		t.Errorf("calls: got %d, want those until the fourth failure and those that were out then", calls)
	}
	for _, id := range ids {
		if j := w.job(id); j.Status != ringback.Queued {
			t.Errorf("got %s after %d attempts, want waiting", j.Status, j.Attempts)
		}
	}
}

func TestAJobThatNamesNoModelAsksForTheBuiltInOne(t *testing.T) {
	t.Parallel()
	w := start(t, setup{
		aliases: map[string]string{"claude-sonnet-5-5": "sim/echo"},
		node: func(c *node.Config) {
			c.DefaultModel, c.Providers = "", map[string]node.Provider{"anthropic": c.Providers["simulated"]}
		},
	})
	j := w.end(w.submit(ringback.Request{}).ID)
	if j.Status != ringback.Completed || j.RequestedModel != "claude-sonnet-5-5" || len(j.FallbackModels) > 0 {
		t.Errorf("got %s for %s, want completed for claude-sonnet-5-5", j.Status, j.RequestedModel)
	}
	if r, known := provider.RetirementOf(j.RequestedModel); known {
		t.Errorf("the maker of the built-in default model retires it on %s: choose its successor", r.Date)
	}
}

func TestTheErrorOfARetiredModelNamesItsSuccessor(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: func(c *node.Config) {
		c.Providers = map[string]node.Provider{"anthropic": c.Providers["simulated"]}
	}})
	j := w.end(w.submit(ringback.Request{Model: "claude-sonnet-4-5"}).ID)
	if j.Status != ringback.Failed || j.ErrorDetail.Code != ringback.CodeModelNotFound {
		t.Fatalf("got %s %+v, want failed as model_not_found", j.Status, j.ErrorDetail)
	}
	for _, said := range []string{j.Error, w.ledger(j.ID)[0].Error} {
		if !strings.Contains(said, "claude-sonnet-4-5 on 2026-11-30; ask for its successor, claude-sonnet-5-5") {
			t.Errorf("got %q, want the day and the successor", said)
		}
	}
	j = w.end(w.submit(ringback.Request{Model: "claude-9"}).ID)
	if strings.Contains(j.Error, "retire") {
		t.Errorf("a model that no table has: got %q, want nothing about its retirement", j.Error)
	}
}

func TestTheNextModelIsAskedWhenAttemptsAreUsedUp(t *testing.T) {
	t.Parallel()
	w := start(t, setup{
		aliases: map[string]string{"claude-first": "sim/status-500", "claude-next": "sim/flaky-1"},
		node: func(c *node.Config) {
			c.DefaultModel, c.Providers = "", map[string]node.Provider{"anthropic": c.Providers["simulated"]}
		},
	})
	j := w.end(w.submit(ringback.Request{Model: "claude-first", FallbackModels: []string{"claude-next"}, MaxAttempts: new(2)}).ID)
	if j.Status != ringback.Completed || j.Attempts != 4 {
		t.Errorf("got %s after %d attempts, want completed: max_attempts counts for each model", j.Status, j.Attempts)
	}
	w.wantOutcomes(j.ID, failed, failed, failed, answered)
}

func TestTheNextModelIsAskedAtMaxWait(t *testing.T) {
	t.Parallel()
	w := start(t, setup{
		aliases: map[string]string{"claude-first": "sim/status-429", "claude-next": "sim/echo"},
		node: func(c *node.Config) {
			holdsFor(time.Hour)(c)
			c.DefaultModel, c.Providers = "", map[string]node.Provider{"anthropic": c.Providers["simulated"]}
		},
	})
	j := w.end(w.submit(ringback.Request{Model: "claude-first", FallbackModels: []string{"claude-next"}, MaxWaitSeconds: new(1)}).ID)
	if j.Status != ringback.Completed || j.Attempts != 1 {
		t.Errorf("got %s after %d attempts, want completed by the first of the next model", j.Status, j.Attempts)
	}
	w.wantOutcomes(j.ID, refused, answered)
}

func TestPausesBetweenAttemptsGrow(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: func(c *node.Config) { c.RetryDelay = 50 * time.Millisecond }})
	ledger := w.ledger(w.end(w.submit(ringback.Request{Model: "sim/status-500", MaxAttempts: new(4)}).ID).ID)
	for i, least := range []time.Duration{40, 80, 160} { // 50 ms doubled, less 20 %
		if pause := ledger[i+1].StartedAt.Sub(ledger[i].EndedAt.Time); pause < least*time.Millisecond-time.Millisecond {
			t.Errorf("pause %d: got %s, want at least %d ms", i+1, pause, least)
		}
	}
}
