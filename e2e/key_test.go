package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/simulate"
)

// A provider that accepts one key, until that is revoked.
type revocable struct {
	http.Handler

	accepts atomic.Pointer[string]
	refused atomic.Int64
}

func (p *revocable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Api-Key") == *p.accepts.Load() {
		p.Handler.ServeHTTP(w, r)
		return
	}
	p.refused.Add(1)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnauthorized)
	fmt.Fprint(w, `{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}`)
}

// The long form is 10,000 jobs and a minute.
func TestAKeyThatIsRefusedFailsNoJob(t *testing.T) {
	jobs, refusedFor := 600, time.Second
	if long {
		jobs, refusedFor = 10_000, time.Minute
	}
	p := &revocable{Handler: simulate.NewProvider(simulate.ProviderConfig{})}
	p.accepts.Store(new("key"))
	w := newWorld(t, setup{provider: p})
	first := w.start("--concurrency", "32")
	w.ready()
	ids := make([]string, jobs)
	var g, operator errgroup.Group
	g.SetLimit(32)
	for i := range jobs {
		g.Go(func() error {
			accepted, err := w.api.Submit(t.Context(), ringback.Request{Prompt: fmt.Sprint("job ", i), Model: "sim/echo?first=20ms", CallbackURL: w.callback})
			ids[i] = accepted.JobID
			return err
		})
		if i == jobs/3 {
			p.accepts.Store(new("another-key")) // in the middle of everything
			operator.Go(func() error { return w.seesARefusedKey(t.Context(), time.Now()) })
		}
	}
	must(t, g.Wait())

	must(t, operator.Wait())
	first.says("the provider refuses the key; its jobs wait")
	eventually(t, "a job says why it waits", func() bool {
		waiting, err := w.api.List(t.Context(), client.Query{Status: ringback.Queued, Limit: 1})
		must(t, err)
		return len(waiting.Data) == 1 && waiting.Data[0].StatusReason == "provider_refused_key"
	})
	time.Sleep(refusedFor) // the time itself is what is tested
	if n := p.refused.Load(); n > 64 {
		t.Errorf("the refused key was used %d times: its jobs do not wait", n)
	}
	first.kill()

	w.env = append(w.env, "EZAI_API_KEY=another-key") // the last one counts
	w.start("--concurrency", "32")
	for _, id := range ids {
		if job := w.ended(id); job.Status != ringback.Completed {
			t.Fatalf("job %s: got %s: %s", id, job.Status, job.Error)
		}
	}
	if holds, err := w.holds(); err != nil || len(holds) != 0 {
		t.Errorf("holds with the new key: %+v, %v", holds, err)
	}
}

// seesARefusedKey waits until /readyz says that the key is held. It returns an error if
// that took longer than a second from when the key was revoked.
func (w *world) seesARefusedKey(ctx context.Context, revoked time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		holds, err := w.holds()
		if err != nil {
			return err
		}
		for _, h := range holds {
			if h.Provider != "ezai" || h.Model != "" || h.Reason != "provider_refused_key" {
				continue
			}
			if seen := time.Since(revoked); seen > time.Second {
				return fmt.Errorf("the operator saw that the key is refused only after %s", seen)
			}
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("the operator never saw that the key is refused")
		}
	}
}

// hold is one of those in /readyz.
type hold struct {
	Provider, Model, Reason string
	Until                   time.Time
}

func (w *world) holds() ([]hold, error) {
	resp, err := w.http.Get("http://127.0.0.1/readyz")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var ready struct{ Holds []hold }
	err = json.NewDecoder(resp.Body).Decode(&ready)
	return ready.Holds, err
}
