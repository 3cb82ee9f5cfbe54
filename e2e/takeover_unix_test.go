//go:build unix

package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/postgrestest"
	"github.com/ringback/ringback/internal/simulate"
)

const (
	takeoverSlots = 10
	// takeoverCall is how long a call of the provider takes: longer than the lease, so that
	// no slot becomes free by itself in time.
	takeoverCall = 12 * time.Second
	// takeoverLoad is how many loops take processor time in addition to the nodes.
	takeoverLoad = 8
)

// One of three full nodes, with waiting jobs, is killed. Everything that it had begun runs
// elsewhere within 10 s, although no slot becomes free and others waited before; and no
// living node loses its lease, however busy the machine is.
func TestWhatAKilledNodeHadBegunRunsElsewhereWithin10s(t *testing.T) {
	// Not parallel: it measures times.
	kills := 1
	if long {
		kills = 50
		burn(t, takeoverLoad)
	}
	seen := &callTimes{began: map[string][]time.Time{}, known: map[int]bool{}}
	c := newCluster(t, setup{observe: seen.observe}, postgrestest.Database(t), 3)
	for _, n := range c.nodes {
		n.open("--concurrency", fmt.Sprint(takeoverSlots))
		n.ready()
	}
	model := fmt.Sprintf("sim/slow?words=%d&pace=1s", int(takeoverCall.Seconds()))
	submitted, prompts := 0, map[string]string{}
	fill := func() {
		for range 4 * takeoverSlots * len(c.nodes) {
			prompt := fmt.Sprint("job ", submitted)
			prompts[c.nodes[submitted%len(c.nodes)].submit(ringback.Request{Prompt: prompt, Model: model})] = prompt
			submitted++
		}
	}
	fill()
	var took []time.Duration
	interrupted, evicted := map[string]int{}, 0
	for range kills {
		c.patiently()
		if len(c.nodes[0].list(ringback.Queued)) < 2*takeoverSlots*len(c.nodes) {
			fill()
		}
		victim := c.nodes[rand.IntN(len(c.nodes))]
		other := c.nodes[(slices.Index(c.nodes, victim)+1)%len(c.nodes)]
		eventually(t, "a node that is full", func() bool { return len(other.runningOn(victim.ids())) == takeoverSlots })
		evicted += victim.server.counts("this node was swept")
		died := time.Now()
		victim.server.kill()
		for _, id := range other.runningOn(victim.ids()) {
			if interrupted[id]++; interrupted[id] == suspect {
				continue // it waits behind all others
			}
			var again time.Duration
			eventually(t, prompts[id]+" to be called again", func() (called bool) {
				again, called = seen.after(prompts[id], died)
				return called
			})
			took = append(took, again)
		}
		victim.again()
		victim.ready()
	}
	for _, n := range c.nodes {
		evicted += n.server.counts("this node was swept")
	}
	if evicted > 0 {
		t.Errorf("nodes that lived lost their leases %d times", evicted)
	}
	t.Logf("%d kills, %d jobs: half ran again within %s, the last within %s", kills, len(took), quantile(took, .5), quantile(took, 1))
	if worst := quantile(took, 1); len(took) == 0 || worst >= within {
		t.Errorf("the last of %d jobs ran again after %s, want less than %s", len(took), worst, within)
	}
}

// patiently waits until each node has renewed for long enough to evict others.
func (c *cluster) patiently() {
	c.t.Helper()
	eventually(c.t, "nodes that may evict others", func() bool {
		nodes, err := c.nodes[0].api.Nodes(c.t.Context())
		return err == nil && len(nodes) == len(c.nodes) && !slices.ContainsFunc(nodes, func(n ringback.Node) bool {
			return time.Since(n.JoinedAt.Time) < 9*time.Second
		})
	})
}

// list returns the jobs in a state, at most 100.
func (p *place) list(status ringback.Status) []ringback.Job {
	p.t.Helper()
	page, err := p.api.List(p.t.Context(), client.Query{Status: status, Limit: 100})
	must(p.t, err)
	return page.Data
}

// runningOn returns the jobs that a process runs, given its ids.
func (p *place) runningOn(ids []string) (jobs []string) {
	p.t.Helper()
	for _, job := range p.list(ringback.Running) {
		ledger, err := p.api.Attempts(p.t.Context(), job.ID)
		must(p.t, err)
		if last := ledger[len(ledger)-1]; last.Outcome == "" && slices.Contains(ids, last.Node) {
			jobs = append(jobs, job.ID)
		}
	}
	return jobs
}

// callTimes is when calls of the provider began, by their prompts.
type callTimes struct {
	mu    sync.Mutex
	began map[string][]time.Time
	known map[int]bool // calls, by their numbers
}

func (c *callTimes) observe(call simulate.Call) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known[call.Number] {
		c.known[call.Number] = true
		c.began[call.Prompt] = append(c.began[call.Prompt], now)
	}
}

// after returns how long after a time the first call for a prompt began.
func (c *callTimes) after(prompt string, since time.Time) (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, began := range c.began[prompt] {
		if began.After(since) {
			return began.Sub(since), true
		}
	}
	return 0, false
}

// burn takes processor time until the test ends.
func burn(t *testing.T, loops int) {
	t.Helper()
	for range loops {
		cmd := exec.Command("sh", "-c", "while :; do :; done")
		must(t, cmd.Start())
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
	}
}
