//go:build unix

package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/postgrestest"
	"github.com/ringback/ringback/internal/simulate"
)

// wrongProgram is the server with another time.Now, which is ahead of the machine's clock
// by as many seconds as the variable CLOCK_WRONG_BY says. Preloading a library would not
// work: Go asks the kernel without the C library.
var wrongProgram = sync.OnceValues(func() (string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	const now = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	if !strings.Contains(string(text), now) {
		return "", fmt.Errorf("%s has changed: its Now does not begin with %q", original, now)
	}
	changed := filepath.Join(scratch, "time.go")
	wrong := strings.Replace(string(text), now, now+"\tsec += wrongBy\n", 1) + `
var wrongBy = func() int64 {
	seconds, _ := syscall.Getenv("CLOCK_WRONG_BY")
	n, _ := atoi(seconds)
	return int64(n)
}()
`
	wrong = strings.Replace(wrong, "import (\n", "import (\n\t\"syscall\"\n", 1)
	overlay := filepath.Join(scratch, "overlay.json")
	if err := os.WriteFile(changed, []byte(wrong), 0o600); err != nil {
		return "", err
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{original: changed}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(overlay, replace, 0o600); err != nil {
		return "", err
	}
	return build("ringback-wrong", "../cmd/ringback", []string{"CGO_ENABLED=0"}, "-overlay", overlay)
})

// Of three nodes one has a correct clock, one is an hour ahead, one behind. Their behaviour
// does not show it: all times are the database's.
func TestAClockThatIsAnHourWrongDoesNoHarm(t *testing.T) {
	t.Parallel()
	binary, err := wrongProgram()
	must(t, err)
	c := newCluster(t, setup{}, postgrestest.Database(t), 3)
	for i, wrong := range []time.Duration{0, time.Hour, -time.Hour} {
		n := c.nodes[i]
		n.command = []string{binary}
		n.env = append(slices.Clip(n.env), "CLOCK_WRONG_BY="+strconv.Itoa(int(wrong.Seconds())))
		n.open()
		n.ready()
		if is := n.server.clock(); (is - wrong).Abs() > time.Minute {
			t.Fatalf("the clock of node %s is wrong by %s, want %s: this proves nothing", n.name, is, wrong)
		}
	}
	for _, n := range c.nodes {
		n.wantFreshLeases(len(c.nodes))
	}

	c.ask(5)
	c.wantHonestTimestamps()
	c.wantRescue(c.nodes[0])
	for _, n := range c.nodes[1:] {
		n.server.terminate(syscall.SIGTERM)
	}
}

// clock returns how far a server's clock is ahead, by its log.
func (s *server) clock() time.Duration {
	s.t.Helper()
	var record struct{ Time time.Time }
	must(s.t, json.Unmarshal([]byte(s.tail(1)[0]), &record))
	return time.Until(record.Time)
}

// wantFreshLeases checks that a node knows that many nodes, all with leases that run out
// within a lease's time.
func (p *place) wantFreshLeases(alive int) {
	p.t.Helper()
	nodes, err := p.api.Nodes(p.t.Context())
	must(p.t, err)
	if len(nodes) != alive {
		p.t.Errorf("node %s knows of %d nodes, want %d", p.name, len(nodes), alive)
	}
	for _, n := range nodes {
		if left := time.Until(n.ExpiresAt.Time); left < 0 || left > 9*time.Second {
			p.t.Errorf("node %s reports a lease that runs out in %s", p.name, left)
		}
	}
}

// ask has jobs of several kinds done, that many rounds of them at each node, and checks
// that their times are those that a client would measure.
func (c *cluster) ask(rounds int) {
	c.t.Helper()
	soon := time.Now().Add(4 * time.Second)
	asked := map[string]time.Time{}
	requests := map[string]ringback.Request{}
	for round := range rounds {
		for i, n := range c.nodes {
			for kind, r := range []ringback.Request{
				{Model: "sim/echo"},
				{Model: "sim/echo", RunAt: &ringback.Time{Time: soon}},
				{Model: "sim/echo", ExpiresAt: &ringback.Time{Time: soon.Add(time.Minute)}},
				{Model: fmt.Sprintf("sim/flaky-1?words=%d", 1+i+len(c.nodes)*round)}, // each its own, so that no breaker delays it
			} {
				r.Prompt = fmt.Sprintf("round %d, kind %d, at %s", round, kind, n.name)
				now := time.Now()
				id := n.submit(r)
				asked[id], requests[id] = now, r
			}
		}
	}
	for id, r := range requests {
		due := asked[id]
		if r.RunAt != nil {
			due = r.RunAt.Time
		}
		job := c.delivered(id)
		switch started, ended := job.StartedAt.Sub(due), job.EndedAt.Sub(due); {
		case job.Status != ringback.Completed:
			c.t.Errorf("%s: it is %s: %s", r.Prompt, job.Status, job.Error)
		case job.CreatedAt.Sub(asked[id]).Abs() > 10*time.Second:
			c.t.Errorf("%s: submitted at %s, but created_at is %s", r.Prompt, asked[id].UTC(), job.CreatedAt)
		case started < -100*time.Millisecond || started > 10*time.Second || ended < started || ended > 30*time.Second:
			c.t.Errorf("%s: it began %s after it was due, and ended %s after it was due", r.Prompt, started, ended)
		case *job.QueueMS < 0 || *job.QueueMS > 15_000 || *job.DurationMS < 0 || *job.DurationMS > 10_000:
			c.t.Errorf("%s: queue_ms is %d, and duration_ms %d", r.Prompt, *job.QueueMS, *job.DurationMS)
		}
	}
}

// wantHonestTimestamps checks that all webhooks name the time at which they arrived:
// receivers refuse those of another time, which might be replayed.
func (c *cluster) wantHonestTimestamps() {
	c.t.Helper()
	for _, d := range c.receiver.Deliveries() {
		seconds, err := strconv.ParseInt(d.Header.Get("webhook-timestamp"), 10, 64)
		must(c.t, err)
		if off := d.At.Sub(time.Unix(seconds, 0)); off.Abs() > 30*time.Second {
			c.t.Errorf("a webhook of job %s names a time %s before it came", d.JobID, off)
		}
	}
}

// wantRescue kills a node, and checks that what ran there runs elsewhere as soon as usual.
func (c *cluster) wantRescue(dies *place) {
	c.t.Helper()
	var ids []string
	for n := range 8 {
		prompt := fmt.Sprint("caught ", n)
		ids = append(ids, dies.submit(ringback.Request{Prompt: prompt, Model: "sim/slow?words=60&pace=50ms"}))
		c.call(func(call simulate.Call) bool { return call.Prompt == prompt && call.Words > 0 })
	}
	lost := dies.ids()
	dies.server.kill()
	killed := time.Now()
	c.leadTo(c.nodes[1].address()) // the cluster's own endpoint may be the dead node's
	var rescued []time.Duration
	for _, id := range ids {
		c.delivered(id)
		ledger, err := c.api.Attempts(c.t.Context(), id)
		must(c.t, err)
		if ledger[0].Outcome == ringback.AttemptUncertain && slices.Contains(lost, ledger[0].Node) {
			rescued = append(rescued, ledger[1].StartedAt.Sub(killed))
		}
	}
	c.t.Logf("jobs of the node that was killed ran elsewhere after: %s", distribution(rescued))
	if len(rescued) == 0 || quantile(rescued, 1) > within {
		c.t.Errorf("jobs of the node that was killed ran elsewhere after %s, want some, and within %s", rescued, within)
	}
}
