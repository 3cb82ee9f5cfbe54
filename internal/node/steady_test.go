package node_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/node"
)

// These run with the pauses that a server has, through real HTTP. Their bounds leave room
// for a busy machine: on a quiet one no other job waits 0.5 s for a blocked one, and the
// p99 around a refusal is below 3 s.

func realPauses(c *node.Config) { c.Gate = limit.Config{} }

// firewall answers calls instead of the provider, if rule says so about their body.
type firewall struct {
	rule  func(body string, n int64) (status int)
	body  string       // of the refusal; "": one that blames the key
	calls atomic.Int64 // all
	mu    sync.Mutex
	seen  []string // bodies of those
}

func (f *firewall) before(provider http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		n := f.calls.Add(1)
		if status := f.rule(string(body), n); status != 0 {
			f.mu.Lock()
			f.seen = append(f.seen, string(body))
			f.mu.Unlock()
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			if f.body != "" {
				io.WriteString(w, f.body)
				return
			}
			kind := map[int]string{401: "authentication_error", 403: "permission_error", 429: "rate_limit_error", 529: "overloaded_error"}[status]
			fmt.Fprintf(w, `{"type":"error","error":{"type":%q,"message":"Your API key does not have permission to use the specified resource."}}`, kind)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		provider.ServeHTTP(w, r)
	})
}

// refused counts the calls that the firewall answered with a refusal.
func (f *firewall) refused() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.seen)
}

// blocks returns a firewall that refuses every call with a word in it.
func blocks(word string, status int) *firewall {
	return &firewall{rule: func(body string, _ int64) int {
		if strings.Contains(body, word) {
			return status
		}
		return 0
	}}
}

// took returns how long a job took from its submission to its end.
func took(j ringback.Job) time.Duration { return j.EndedAt.Sub(j.CreatedAt.Time) }

func TestOneBlockedPromptDelaysNoGoodJob(t *testing.T) {
	t.Parallel()
	for name, model := range map[string]string{"quick": "sim/echo", "slow to begin": "sim/echo?first=1200ms"} {
		for at, blockedAt := range map[string]int{"first": 0, "in the middle": 25} {
			t.Run(name+", "+at, func(t *testing.T) {
				t.Parallel()
				wall := blocks("blocked", 403)
				s, log := journaled(setup{node: realPauses, upstream: wall.before})
				w := start(t, s)
				var good []ringback.Job
				var blocked ringback.Job
				pace := time.NewTicker(20 * time.Millisecond)
				defer pace.Stop()
				for n := range 50 {
					if n == blockedAt {
						blocked = w.ask(model, "blocked")
						w.eventually("its refusal", func() bool { return wall.refused() > 0 })
					}
					good = append(good, w.ask(model, "good"))
					<-pace.C // as they come
				}
				for _, j := range good {
					got := w.end(j.ID)
					if waited := w.ledger(j.ID)[0].StartedAt.Sub(got.CreatedAt.Time); got.Status != ringback.Completed || waited > 5*time.Second {
						t.Errorf("a good job: got %s, and waited %s", got.Status, waited)
					}
				}
				got := w.end(blocked.ID) // though no other job is left to be answered
				if got.Status != ringback.Failed || got.ErrorDetail.Code != ringback.CodeProviderRejected || got.ErrorDetail.StatusCode != 403 ||
					!strings.Contains(got.Error, "does not have permission") || took(got) > 30*time.Second {
					t.Errorf("the blocked job: got %s %+v after %s: %s", got.Status, got.ErrorDetail, took(got), got.Error)
				}
				if got := log.of(t, "model", "*"); len(got) > 0 {
					t.Errorf("the key was held for one job: %v", got)
				}
				w.wantOutcomes(blocked.ID, slices.Repeat([]ringback.AttemptOutcome{refused}, len(w.ledger(blocked.ID)))...)
				if calls := wall.refused(); calls < 3 || calls > 6 {
					t.Errorf("calls of the blocked job: got %d, want three and few more", calls)
				}
			})
		}
	}
}

func TestSeveralBlockedPromptsInARowDelayNoGoodJob(t *testing.T) {
	t.Parallel()
	wall := blocks("blocked", 403)
	s, log := journaled(setup{node: realPauses, upstream: wall.before})
	w := start(t, s)
	w.end(w.ask("sim/echo", "good").ID)
	var blocked []string
	for n := range 8 {
		blocked = append(blocked, w.ask("sim/echo", "blocked").ID)
		w.eventually("its refusal", func() bool { return wall.refused() > n })
	}
	for range 20 {
		got := w.end(w.ask("sim/echo", "good").ID)
		if waited := w.ledger(got.ID)[0].StartedAt.Sub(got.CreatedAt.Time); waited > 5*time.Second {
			t.Errorf("a good job waited %s", waited)
		}
	}
	for _, id := range blocked {
		if got := w.end(id); got.Status != ringback.Failed || got.ErrorDetail.Code != ringback.CodeProviderRejected {
			t.Errorf("a blocked job: got %s %+v", got.Status, got.ErrorDetail)
		}
	}
	if got := log.of(t, "model", "*"); len(got) > 0 {
		t.Errorf("the key was held for the blocked ones: %v", got)
	}
}

func TestOneRefusalAmongManyJobsCostsAboutASecond(t *testing.T) {
	t.Parallel()
	jobs := 400
	if testing.Short() {
		jobs = 200
	}
	for _, status := range []int{429, 529} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			once := &firewall{rule: func(_ string, n int64) int {
				if n == int64(jobs/2) {
					return status
				}
				return 0
			}}
			w := start(t, setup{node: realPauses, upstream: once.before})
			pace := time.NewTicker(10 * time.Millisecond)
			defer pace.Stop()
			var ids []string
			for range jobs {
				ids = append(ids, w.ask("sim/echo", "steady").ID)
				<-pace.C // as they come
			}
			var spans []time.Duration
			for _, id := range ids {
				j := w.end(id)
				if j.Status != ringback.Completed || j.Attempts != 1 {
					t.Errorf("got %s after %d attempts", j.Status, j.Attempts)
				}
				spans = append(spans, took(j))
			}
			slices.Sort(spans)
			if once.refused() != 1 {
				t.Errorf("got %d refusals, want the one", once.refused())
			}
			p99 := spans[len(spans)*99/100]
			t.Logf("p99 %s, the longest %s", p99, spans[len(spans)-1])
			if p99 > 10*time.Second {
				t.Errorf("p99: got %s, want less than 3 s, and on a busy machine than 10 s", p99)
			}
		})
	}
}

func TestARevokedKeyIsCalledSeldomWhileJobsWait(t *testing.T) {
	t.Parallel()
	var revoked atomic.Bool
	wall := &firewall{rule: func(string, int64) int {
		if revoked.Load() {
			return 401
		}
		return 0
	}}
	w := start(t, setup{node: realPauses, upstream: wall.before})
	w.end(w.ask("sim/echo", "before").ID)
	revoked.Store(true)
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	var ids []string
	for range 100 {
		ids = append(ids, w.ask("sim/echo", "waits").ID)
		<-pace.C
	}
	w.eventually("the hold", func() bool { return len(w.node.Holds()) == 1 })
	held := w.node.Holds()[0]
	if held.Model != "" || held.Reason != "provider_refused_key" || held.HeldBy == nil || !slices.Contains(ids, held.HeldBy.JobID) ||
		held.HeldBy.Model != "sim/echo" || held.HeldBy.StatusCode != 401 || !strings.Contains(held.HeldBy.Error, "does not have permission") {
		t.Errorf("hold: got %+v, caused by %+v", held, held.HeldBy)
	}
	last := w.job(ids[len(ids)-1])
	if last.StatusReason != "provider_refused_key" || last.HeldBy == nil || last.HeldBy.JobID == last.ID || last.HeldBy.Error == "" {
		t.Errorf("one that waits: got %q, held by %+v", last.StatusReason, last.HeldBy)
	}
	time.Sleep(3 * time.Second) // in which a few probes find that it is still so
	if calls := wall.refused(); calls < 4 || calls > 20 {
		t.Errorf("calls with a revoked key while 100 jobs wait: got %d, want few", calls)
	}
	revoked.Store(false)
	for _, id := range ids {
		if j := w.end(id); j.Status != ringback.Completed || j.Attempts != 1 {
			t.Errorf("when the key works again: got %s after %d attempts", j.Status, j.Attempts)
		}
	}
}

func TestABurstOfRefusalsIsOnePause(t *testing.T) {
	t.Parallel()
	all := make(chan struct{})
	var waiting atomic.Int64
	wall := &firewall{rule: func(_ string, n int64) int {
		if n > 20 {
			return 0
		}
		if waiting.Add(1) == 20 {
			close(all)
		}
		<-all
		return 429
	}}
	w := start(t, setup{node: realPauses, upstream: wall.before})
	var ids []string
	for range 20 {
		ids = append(ids, w.ask("sim/echo", "burst").ID)
	}
	for _, id := range ids {
		j := w.end(id)
		if j.Status != ringback.Completed || took(j) > 20*time.Second {
			t.Errorf("got %s after %s, want completed about a second later", j.Status, took(j))
		}
		w.wantOutcomes(id, refused, answered)
	}
}

// A refusal that is about one model concerns neither the key nor the other models.
func TestAModelThatTheKeyMayNotUseHoldsNothing(t *testing.T) {
	t.Parallel()
	wall := blocks("sim/think", 403)
	wall.body = `{"type":"error","error":{"type":"permission_error","code":"model_not_found","message":"Project has no access to model sim/think"}}`
	s, log := journaled(setup{node: realPauses, upstream: wall.before})
	w := start(t, s)
	next := w.end(w.submit(ringback.Request{Model: "sim/think", FallbackModels: []string{"sim/echo"}}).ID)
	if next.Status != ringback.Completed || next.RequestedModel != "sim/think" {
		t.Errorf("with a fallback: got %s for %s: %s", next.Status, next.RequestedModel, next.Error)
	}
	for range 4 {
		alone := w.end(w.ask("sim/think", "alone").ID)
		if alone.Status != ringback.Failed || alone.ErrorDetail.Code != ringback.CodeModelNotFound || !strings.Contains(alone.Error, "no access to model") {
			t.Errorf("without: got %s %+v: %s", alone.Status, alone.ErrorDetail, alone.Error)
		}
	}
	if got := log.of(t, "provider", "simulated"); slices.Contains(got, "calls are held back") || len(w.node.Holds()) > 0 {
		t.Errorf("holds: %+v, log: %v", w.node.Holds(), got)
	}
}

// One job does not show whether its key is bad: it can be seen waiting, while others are
// called.
func TestAKeyInDoubtIsSeenAndHoldsOnlyTheRefusedJob(t *testing.T) {
	t.Parallel()
	wall := blocks("lone", 401)
	w := start(t, setup{node: holdsFor(time.Hour), upstream: wall.before})
	lone := w.ask("sim/echo", "lone")
	w.eventually("the doubt", func() bool { return len(w.node.Holds()) == 1 && w.job(lone.ID).Status == ringback.Queued })
	h := w.node.Holds()[0]
	if !h.JobOnly || h.Reason != "provider_refused_key" || h.HeldBy == nil || h.HeldBy.JobID != lone.ID || h.HeldBy.StatusCode != 401 {
		t.Errorf("hold: got %+v, by %+v", h, h.HeldBy)
	}
	got := w.job(lone.ID)
	if got.StatusReason != "provider_refused_key" || got.HeldBy == nil || got.HeldBy.JobID != lone.ID || got.Status != ringback.Queued {
		t.Errorf("the job: got %s %q, held by %+v", got.Status, got.StatusReason, got.HeldBy)
	}
	w.end(w.ask("sim/echo", "another").ID)
	w.eventually("no doubt", func() bool { return len(w.node.Holds()) == 0 })
	if got := w.job(lone.ID); got.StatusReason != "provider_refused_key" {
		t.Errorf("the refused job, when others were answered: got %q", got.StatusReason)
	}
}
