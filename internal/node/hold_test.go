package node_test

import (
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/provider"
)

// keepsHold waits until the store has one hold.
func (w *world) keepsHold() {
	w.t.Helper()
	w.eventually("a hold in the store", func() bool {
		holds, err := w.store.Holds(w.within())
		must(w.t, err)
		return len(holds) == 1
	})
}

// refuseKey has as many jobs refused as it takes to hold a key, and returns the first.
func (w *world) refuseKey(model string) (first ringback.Job) {
	w.t.Helper()
	first = w.ask(model, "refused")
	w.ask(model, "refused")
	w.ask(model, "refused")
	w.eventually("the hold of the key", func() bool {
		holds := w.node.Holds()
		return len(holds) == 1 && holds[0].Model == "" && !holds[0].JobOnly
	})
	return first
}

func TestAHoldOfAModelSurvivesARestart(t *testing.T) {
	t.Parallel()
	first := start(t, setup{node: holdsFor(time.Hour)})
	j := first.ask("sim/status-429", "held")
	first.called("held", 1)
	first.keepsHold()
	dir := first.kill()

	w := start(t, setup{dir: dir, from: first, node: holdsFor(time.Hour)})
	w.eventually("the hold is taken over", func() bool { return len(w.node.Readiness().Holds) == 1 })
	if h := w.node.Readiness().Holds[0]; h.Model != "sim/status-429" || h.Reason != "provider_refused" || time.Until(h.Until) < 30*time.Minute || !w.node.Readiness().Ready {
		t.Errorf("readiness: got %+v", w.node.Readiness())
	}
	if got := w.job(j.ID); got.StatusReason != "provider_refused" || got.Status != ringback.Queued {
		t.Errorf("the job: got %s, %q", got.Status, got.StatusReason)
	}
	w.end(w.ask("sim/echo", "another model").ID)
	w.wantCalls("held", 1)
}

func TestAHoldThatIsOverIsForgotten(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: holdsFor(8 * time.Second)})
	w.ask("sim/status-429?times=1", "held") // once, then it answers
	w.keepsHold()
	w.eventually("the hold is over", func() bool {
		holds, err := w.store.Holds(w.within())
		must(t, err)
		return len(holds) == 0
	})
}

func TestARestartWithANewKeyFreesIt(t *testing.T) {
	t.Parallel()
	withKey := func(key provider.Key) func(*provider.Config) {
		return func(c *provider.Config) { c.APIKey = key }
	}
	first := start(t, setup{node: holdsFor(time.Hour), client: withKey("old")})
	j := first.refuseKey("sim/status-401")
	first.keepsHold()
	dir := first.kill()

	// The same key is not trusted, but probed: a restart often follows a repair.
	same := start(t, setup{dir: dir, from: first, node: holdsFor(time.Hour), client: withKey("old")})
	same.called("refused", 4)
	same.eventually("the job waits for the key again", func() bool { return same.job(j.ID).StatusReason == "provider_refused_key" })
	same.eventually("the hold stands again", func() bool {
		h := same.node.Readiness().Holds
		return len(h) == 1 && time.Until(h[0].Until) > time.Minute
	})
	dir = same.kill()

	w := start(t, setup{dir: dir, from: first, node: holdsFor(time.Hour), client: withKey("new")})
	w.called("refused", 5) // at once, since the key is another one
}

func TestAFallbackOfAnotherProtocolOrOfNobodyIsRefused(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	for _, models := range [][]string{{"sim/echo", "nobody/knows"}, {"sim/echo", ""}} {
		_, err := w.try(ringback.Request{FallbackModels: models})
		if e := fault(t, err, ringback.InvalidRequest); e.Field != "fallback_models[1]" {
			t.Errorf("%v: got field %q", models, e.Field)
		}
	}
	_, err := w.try(ringback.Request{FallbackModels: make([]string, 9)})
	fault(t, err, ringback.InvalidRequest)
}
