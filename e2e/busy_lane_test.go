package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/simulate"
)

// lanes are 50 lanes: one has nine of ten jobs, one is held for the whole run, the others
// are quiet. Of ten receivers two are dead and one is slow.
type lanes struct {
	*world
	healthy []string // callback URLs; the quiet lanes' go there
	others  []string // dead ones and a slow one

	mu       sync.Mutex
	arrivals map[string]time.Time // job → its first webhook
	arrived  chan struct{}        // closed and replaced at each
}

const (
	quietLanes = 48
	heldModel  = "sim/status-429?retry_after=3600"
	// calmAnswer is how long the provider takes for the fastest lane: compared with it, the
	// overhead of a job is small, as with a real provider.
	calmAnswer = 200 * time.Millisecond
)

// laneModel returns the model of a lane: 0 has most jobs, the others are quiet.
func laneModel(lane int) string {
	return fmt.Sprintf("sim/echo?first=%dms", calmAnswer.Milliseconds()+int64(lane))
}

func newLanes(t *testing.T) *lanes {
	t.Helper()
	c := &lanes{arrivals: map[string]time.Time{}, arrived: make(chan struct{})}
	c.world = newWorld(t, setup{provider: simulate.NewProvider(simulate.ProviderConfig{})})
	for range 7 {
		c.healthy = append(c.healthy, c.receive(t, 0))
	}
	c.others = []string{c.receive(t, 500*time.Millisecond), hangingReceiver(t), "http://127.0.0.1:1024/closed"}
	c.nameLanes(t)
	return c
}

// nameLanes names each model in the configuration, so that each is a lane.
func (c *lanes) nameLanes(t *testing.T) {
	t.Helper()
	config, err := os.ReadFile(c.config)
	must(t, err)
	before, _, _ := strings.Cut(string(config), "routes:")
	var b strings.Builder
	b.WriteString(before + "routes:\n")
	for lane := range quietLanes + 1 {
		fmt.Fprintf(&b, "  - {model: %q, provider: ezai}\n", laneModel(lane))
	}
	fmt.Fprintf(&b, "  - {model: %q, provider: ezai}\n", heldModel)
	must(t, os.WriteFile(c.config, []byte(b.String()), 0o600))
}

// receive starts a receiver that records when each job's webhook arrived.
func (c *lanes) receive(t *testing.T, delay time.Duration) string {
	t.Helper()
	hooks := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		id := r.URL.Query().Get("job")
		_, _ = io.Copy(io.Discard, r.Body)
		c.mu.Lock()
		if _, again := c.arrivals[id]; !again {
			c.arrivals[id] = time.Now()
			close(c.arrived)
			c.arrived = make(chan struct{})
		}
		c.mu.Unlock()
		if delay > 0 {
			select {
			case <-time.After(delay):
			case <-r.Context().Done():
			}
		}
	}))
	t.Cleanup(hooks.Close)
	return hooks.URL + "/hook"
}

// hangingReceiver accepts connections and never sends anything.
func hangingReceiver(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var taken []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			taken = append(taken, conn)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		for _, conn := range taken {
			conn.Close()
		}
	})
	return "http://" + l.Addr().String() + "/hang"
}

// ask submits a job whose webhook is recorded under name.
func (c *lanes) ask(ctx context.Context, name, model, callback string) (string, error) {
	accepted, err := c.api.Submit(ctx, ringback.Request{Prompt: name, Model: model, CallbackURL: callback + "?job=" + name, WebhookBody: ringback.WebhookThin})
	return accepted.JobID, err
}

// wait waits for the webhook of a job and returns when it arrived.
func (c *lanes) wait(ctx context.Context, name string) (time.Time, error) {
	for {
		c.mu.Lock()
		at, ok := c.arrivals[name]
		arrived := c.arrived
		c.mu.Unlock()
		if ok {
			return at, nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return at, fmt.Errorf("the webhook of %s did not come: %w", name, ctx.Err())
		}
	}
}

// quiet sends n jobs, evenly, to the quiet lanes, and returns the time from each submission
// to its webhook, the shortest first.
func (c *lanes) quiet(phase string, n int, every time.Duration) []time.Duration {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Duration(n)*every+patience)
	defer cancel()
	took := make([]time.Duration, n)
	var g errgroup.Group
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := range n {
		<-tick.C
		g.Go(func() error {
			name, start := fmt.Sprintf("%s-%d", phase, i), time.Now()
			if _, err := c.ask(ctx, name, laneModel(1+i%quietLanes), c.healthy[i%len(c.healthy)]); err != nil {
				return err
			}
			at, err := c.wait(ctx, name)
			took[i] = at.Sub(start)
			return err
		})
	}
	must(c.t, g.Wait())
	slices.Sort(took)
	return took
}

// fill submits n jobs of a model, to all receivers in turn.
func (c *lanes) fill(n int, model string) {
	c.t.Helper()
	callbacks := slices.Concat(c.healthy, c.others)
	var g errgroup.Group
	g.SetLimit(32)
	for i := range n {
		g.Go(func() error {
			_, err := c.ask(c.t.Context(), fmt.Sprintf("%s-%d", model[:8], i), model, callbacks[i%len(callbacks)])
			return err
		})
	}
	must(c.t, g.Wait())
}

// none reports whether no job of a model is in a state.
func (c *lanes) none(model string, status ringback.Status) bool {
	page, err := c.api.List(c.t.Context(), client.Query{Model: model, Status: status, Limit: 1})
	must(c.t, err)
	return len(page.Data) == 0 && page.NextCursor == nil
}

// empties waits until no job of a model is waiting or running anymore.
func (c *lanes) empties(model string, limit time.Duration) {
	c.t.Helper()
	over := time.After(limit)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !c.none(model, ringback.Queued) || !c.none(model, ringback.Running) {
		select {
		case <-tick.C:
		case <-over:
			c.t.Fatalf("jobs of %s wait or run after %s", model, limit)
		}
	}
}

// The long form is 100,000 jobs.
func TestABusyLaneDelaysNoOther(t *testing.T) {
	c := newLanes(t)
	jobs, samples, slots := 4_000, 200, 64
	if long {
		jobs, samples, slots = 100_000, 2_000, 256
	}
	const every = 40 * time.Millisecond // five of the slots, on average
	c.start("--concurrency", fmt.Sprint(slots))
	c.ready()
	c.quiet("warm-up", 50, every)
	alone := c.quiet("alone", samples, every)

	c.fill(jobs/100, heldModel)
	c.fill(jobs*9/10, laneModel(0))
	busy := c.quiet("busy", min(samples, jobs*9/100), every)
	if c.none(laneModel(0), ringback.Queued) {
		t.Error("the busy lane was empty before the quiet ones were: nothing was measured")
	}
	t.Logf("quiet lanes, submission to webhook: alone p50 %s p99 %s, busy p50 %s p99 %s",
		alone[len(alone)/2], p99(alone), busy[len(busy)/2], p99(busy))
	if p99(busy) > 2*p99(alone) {
		t.Errorf("p99 of the quiet lanes: %s beside the busy one, %s alone, want at most twice that", p99(busy), p99(alone))
	}

	c.empties(laneModel(0), time.Duration(jobs/100)*time.Second)
	for _, status := range []ringback.Status{ringback.Failed, ringback.Cancelled, ringback.Expired} {
		if !c.none("", status) {
			t.Errorf("there are jobs that are %s", status)
		}
	}
	held, err := c.api.List(t.Context(), client.Query{Model: heldModel, Limit: 100})
	must(t, err)
	for _, j := range held.Data {
		if j.Status != ringback.Queued || j.StatusReason != "provider_refused" {
			t.Fatalf("a job of the held lane: got %s, %q", j.Status, j.StatusReason)
		}
	}
}
