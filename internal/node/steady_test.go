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

// These run with the pauses that a server has, through real HTTP. Their bounds leave
// room for a busy machine, and are far below what one needless hold would cost.

func realPauses(c *node.Config) { c.Gate = limit.Config{} }

// firewall answers calls by their body instead of the provider, where rule says so.
type firewall struct {
	rule  func(body string, n int64) (status int)
	calls atomic.Int64 // that it answered
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
			kind := map[int]string{401: "authentication_error", 403: "permission_error", 429: "rate_limit_error", 529: "overloaded_error"}[status]
			fmt.Fprintf(w, `{"type":"error","error":{"type":%q,"message":"Your API key does not have permission to use the specified resource."}}`, kind)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		provider.ServeHTTP(w, r)
	})
}

// answered counts the calls that the firewall answered with a refusal.
func (f *firewall) refused() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.seen)
}

// blocks refuses every call with a word in it.
func blocks(word string, status int) *firewall {
	return &firewall{rule: func(body string, _ int64) int {
		if strings.Contains(body, word) {
			return status
		}
		return 0
	}}
}

// took is how long a job took from its submission to its end.
func took(j ringback.Job) time.Duration { return j.EndedAt.Sub(j.CreatedAt.Time) }

func TestOneBlockedPromptDelaysNoGoodJob(t *testing.T) {
	t.Parallel()
	for name, model := range map[string]string{"quick": "sim/echo", "slow to begin": "sim/echo?first=1200ms"} {
		for at, blockedAt := range map[string]int{"first": 0, "in the middle": 25} {
			t.Run(name+", "+at, func(t *testing.T) {
				t.Parallel()
				wall := blocks("blocked", 403)
				w := start(t, setup{node: realPauses, upstream: wall.before})
				var good []ringback.Job
				var blocked ringback.Job
				for n := range 50 {
					if n == blockedAt {
						blocked = w.ask(model, "blocked")
						w.eventually("its refusal", func() bool { return wall.refused() > 0 })
					}
					good = append(good, w.ask(model, "good"))
					time.Sleep(20 * time.Millisecond) // as they come
				}
				for _, j := range good {
					got := w.end(j.ID)
					if waited := w.ledger(j.ID)[0].StartedAt.Sub(got.CreatedAt.Time); got.Status != ringback.Completed || waited > 500*time.Millisecond {
						t.Errorf("a good job: got %s, and waited %s", got.Status, waited)
					}
				}
				// Those that come later find the blocked one guilty.
				for w.job(blocked.ID).Status == ringback.Queued {
					w.end(w.ask("sim/echo", "later").ID)
					time.Sleep(100 * time.Millisecond)
				}
				got := w.end(blocked.ID)
				if got.Status != ringback.Failed || got.ErrorDetail.Code != ringback.CodeProviderRejected || got.ErrorDetail.StatusCode != 403 ||
					!strings.Contains(got.Error, "does not have permission") || took(got) > 30*time.Second {
					t.Errorf("the blocked job: got %s %+v after %s: %s", got.Status, got.ErrorDetail, took(got), got.Error)
				}
				w.wantOutcomes(blocked.ID, slices.Repeat([]ringback.AttemptOutcome{refused}, len(w.ledger(blocked.ID)))...)
				if calls := wall.refused(); calls < 3 || calls > 6 {
					t.Errorf("calls of the blocked job: got %d, want three and few more", calls)
				}
			})
		}
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
			var ids []string
			for range jobs {
				ids = append(ids, w.ask("sim/echo", "steady").ID)
				time.Sleep(10 * time.Millisecond) // as they come
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
			if p99 := spans[len(spans)*99/100]; p99 > 3*time.Second {
				t.Errorf("p99: got %s, the longest %s, want less than 3 s", p99, spans[len(spans)-1])
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
	var ids []string
	for range 100 {
		ids = append(ids, w.ask("sim/echo", "waits").ID)
		time.Sleep(10 * time.Millisecond)
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
		if j.Status != ringback.Completed || took(j) > 6*time.Second {
			t.Errorf("got %s after %s, want completed about a second later", j.Status, took(j))
		}
		w.wantOutcomes(id, refused, answered)
	}
}
