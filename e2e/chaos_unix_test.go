//go:build unix

package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/postgrestest"
	"github.com/ringback/ringback/internal/simulate"
)

const (
	// evictsAfter is how long a node must have been left alone before it may take away the
	// leases of others: a lease's 8 s, and a little for its start.
	evictsAfter = 10 * time.Second
	// within is how long it may take until the job of a killed node runs elsewhere: promise
	// P6.
	within = 10 * time.Second
	// afterOutage is how long a node may leave PostgreSQL alone after an outage.
	afterOutage = 5 * time.Second
)

// plan is what a cluster has to go through.
type plan struct {
	lasts    time.Duration
	freezes  time.Duration   // the longest; every third victim is frozen, the others are killed. 0: all are
	restarts []time.Duration // when PostgreSQL is restarted: by kill -9 and in order, alternately
}

// Three nodes on one PostgreSQL, under load. Again and again a random one is killed (kill
// -9), or frozen (SIGSTOP) for longer than its lease lasts; PostgreSQL is killed and
// restarted in between. Every accepted job ends exactly once, all clients see the same end,
// its webhook arrives at least once, and the ledger explains every call of the provider;
// what ran on a killed node runs elsewhere within 10 s; and what a frozen node would do
// when it wakes up is refused.
//
// Only a node that has been left alone for a lease's time may take away the leases of
// others. So one of those is spared for a while when another is hit, a different one each
// time.
func TestAClusterLosesNothing(t *testing.T) {
	// Not parallel: it measures times.
	p := plan{lasts: 30 * time.Second, freezes: 12 * time.Second, restarts: []time.Duration{time.Second, 26 * time.Second}}
	if long {
		p = plan{lasts: 4 * time.Minute, freezes: 15 * time.Second, restarts: []time.Duration{80 * time.Second, 160 * time.Second}}
	}
	pg := postgrestest.Start(t)
	newChaos(t, pg, pg.Database()).goThrough(p)
}

// The same through PgBouncer, which pools connections by transaction.
func TestAClusterBehindPgBouncerLosesNothing(t *testing.T) {
	// Not parallel: it measures times.
	p := plan{lasts: 17 * time.Second}
	if long {
		p = plan{lasts: time.Minute, freezes: 15 * time.Second}
	}
	pg := postgrestest.Start(t)
	direct := pg.Database()
	newChaos(t, pg, postgrestest.Bouncer(t, direct), "--database-direct-url", direct).goThrough(p)
}

// chaos makes a cluster suffer.
type chaos struct {
	*traffic

	postgres *postgrestest.Server
	state    map[*place]*condition
	servers  []*server // all that ever ran
	hits     []*hit
	outages  []outage
	away     *outage // PostgreSQL is, until its end; nil: it runs
}

// condition is the state of a node.
type condition struct {
	up     bool
	until  time.Time // when it is started again, or continues
	peace  time.Time // since when it has been left alone
	spared time.Time // until when it is left alone
	frozen *hit      // nil: it is not
}

// hit is one thing done to a node.
type hit struct {
	place  string
	server *server
	id     string // of the node then
	at     time.Time
	frozen time.Duration // 0: it was killed
}

// outage is a time without PostgreSQL.
type outage struct{ from, to time.Time }

func newChaos(t *testing.T, pg *postgrestest.Server, database string, flags ...string) *chaos {
	t.Helper()
	c := &chaos{postgres: pg, state: map[*place]*condition{}}
	observe := func(d simulate.Delivery) { c.received(d) }
	c.traffic = newTraffic(newCluster(t, setup{
		racing:   true,
		receiver: simulate.ReceiverConfig{Forget: true, Observe: observe, Answer: nowAndThen500},
	}, database, 3, flags...))
	for _, p := range c.nodes {
		c.state[p] = &condition{}
		p.args = []string{"--drain-timeout", "30s"}
	}
	return c
}

// goThrough goes through a plan, under load, and checks that nothing is lost.
func (c *chaos) goThrough(p plan) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), p.lasts+15*time.Minute)
	defer cancel()
	for _, n := range c.nodes {
		c.startNode(n)
	}
	stop := c.begin(ctx)
	c.suffer(p)
	must(c.t, stop())

	ledgers := c.wantEnds()
	c.wantNoOtherOrders()
	for _, n := range c.nodes {
		n.server.terminate(syscall.SIGTERM)
	}
	c.report(p, ledgers, c.wantRecovery(ledgers), c.wantZombiesRefused())
	c.wantCleanLogs()
}

func (c *chaos) startNode(n *place) {
	c.t.Helper()
	n.again()
	c.servers = append(c.servers, n.server)
	*c.state[n] = condition{up: true, peace: time.Now()}
}

// suffer hits one node after another until the plan's time is over and all run.
func (c *chaos) suffer(p plan) {
	c.t.Helper()
	began := time.Now()
	next := began
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for now := began; ; now = <-tick.C {
		if c.away != nil {
			if now.After(c.away.to) {
				c.startPostgres()
			}
			continue
		}
		c.heal(now)
		over, restarts := now.Sub(began) >= p.lasts, p.restarts[len(c.outages):]
		switch {
		case over && len(restarts) == 0 && c.allWell():
			return
		case len(restarts) > 0 && now.Sub(began) >= restarts[0] && c.allWell():
			c.stopPostgres()
		case !over && now.After(next) && c.hitOne(now, p):
			next = now.Add(2*time.Second + rand.N(3*time.Second))
		}
	}
}

func (c *chaos) allWell() bool {
	for _, s := range c.state {
		if !s.up {
			return false
		}
	}
	return true
}

// heal restarts or resumes the nodes whose time has come.
func (c *chaos) heal(now time.Time) {
	c.t.Helper()
	for _, n := range c.nodes {
		s := c.state[n]
		if s.up || s.frozen != nil {
			select {
			case <-n.server.dead:
				c.t.Fatalf("node %s ended by itself, with %v:\n%s", n.name, n.server.cmd.ProcessState, strings.Join(n.server.tail(100), "\n"))
			default:
			}
		}
		switch {
		case s.up || now.Before(s.until):
		case s.frozen != nil:
			n.server.signal(syscall.SIGCONT)
			// It is left alone for long enough to report what it finds.
			*s = condition{up: true, peace: now, spared: now.Add(3 * time.Second)}
		default:
			c.startNode(n)
		}
	}
}

// hitOne hits a random node, if there is another one that may declare it dead.
func (c *chaos) hitOne(now time.Time, p plan) bool {
	order := rand.Perm(len(c.nodes))
	for _, v := range order {
		victim := c.nodes[v]
		if s := c.state[victim]; !s.up || now.Before(s.spared) || len(victim.ids()) == 0 {
			continue
		}
		for _, j := range order {
			evictor := c.state[c.nodes[j]]
			if j == v || !evictor.up || now.Sub(evictor.peace) < evictsAfter {
				continue
			}
			evictor.spared = now.Add(within + time.Second)
			c.hit(victim, p)
			return true
		}
	}
	return false
}

func (c *chaos) hit(victim *place, p plan) {
	ids := victim.ids()
	h := &hit{place: victim.name, server: victim.server, id: ids[len(ids)-1]}
	s := c.state[victim]
	if p.freezes > 0 && len(c.hits)%3 == 1 {
		h.frozen = p.freezes - rand.N(p.freezes/8)
		victim.server.signal(syscall.SIGSTOP)
		h.at = time.Now()
		*s = condition{frozen: h, until: h.at.Add(h.frozen)}
	} else {
		h.at = time.Now()
		victim.server.kill()
		*s = condition{until: h.at.Add(rand.N(3 * time.Second))}
	}
	c.hits = append(c.hits, h)
}

// stopPostgres ends PostgreSQL for up to a second.
func (c *chaos) stopPostgres() {
	c.t.Helper()
	c.away = &outage{from: time.Now()}
	if len(c.outages)%2 == 0 {
		c.postgres.Kill()
	} else {
		c.postgres.Stop()
	}
	c.away.to = time.Now().Add(rand.N(time.Second))
}

// startPostgres starts PostgreSQL again.
func (c *chaos) startPostgres() {
	c.t.Helper()
	c.postgres.Start()
	now := time.Now()
	c.outages = append(c.outages, outage{c.away.from, now})
	c.away = nil
	for _, s := range c.state {
		s.peace = now.Add(afterOutage)
	}
}

// disturbed reports whether PostgreSQL was down at any time in between.
func (c *chaos) disturbed(from, to time.Time) bool {
	return slices.ContainsFunc(c.outages, func(o outage) bool { return o.from.Before(to) && from.Before(o.to.Add(afterOutage)) })
}

// recovery is how long it took until jobs ran again.
type recovery struct {
	killed, frozen []time.Duration // after what happened to their node
	disturbed      int             // while PostgreSQL was down, too
	suspects       int             // that had to wait for each other
}

// suspect is the number of attempts without an outcome after which a job is started last,
// and alone.
const suspect = 3

// wantRecovery checks by its ledger that each job that ran on a killed node ran elsewhere
// in time.
func (c *chaos) wantRecovery(ledgers map[string][]ringback.Attempt) (r recovery) {
	c.t.Helper()
	for id, ledger := range ledgers {
		uncertain := 0
		for i, a := range ledger {
			if a.Outcome != ringback.AttemptUncertain {
				continue
			}
			uncertain++
			h := c.hitOf(a)
			if h == nil || i == len(ledger)-1 { // it was cancelled
				continue
			}
			again := ledger[i+1].StartedAt.Sub(h.at)
			switch {
			case uncertain >= suspect:
				r.suspects++
			case c.disturbed(h.at, h.at.Add(within)):
				r.disturbed++
			case h.frozen > 0:
				r.frozen = append(r.frozen, again)
			default:
				r.killed = append(r.killed, again)
				if again > within {
					c.t.Errorf("job %s ran on %s when that was killed, and again %s after; its ledger:\n%s", id, h.place, again, describe(ledger))
				}
			}
		}
	}
	if len(r.killed) == 0 {
		c.t.Error("no job ran on a node that was killed: this proves nothing")
	}
	return r
}

// hitOf returns what ended an attempt; nil if that is not known.
func (c *chaos) hitOf(a ringback.Attempt) *hit {
	for _, h := range c.hits {
		if h.id == a.Node && !a.StartedAt.After(h.at) {
			return h
		}
	}
	return nil
}

// zombies are what nodes reported that woke up after their leases were taken away.
type zombies struct {
	swept int // that said so
	late  int // ends of attempts and of tries that were refused
}

// wantZombiesRefused checks that each node that was swept while it was frozen reported that
// when it woke up.
func (c *chaos) wantZombiesRefused() (z zombies) {
	c.t.Helper()
	for _, h := range c.hits {
		if h.frozen == 0 || !c.sweptOne(h.id) {
			continue
		}
		if h.server.counts("this node was swept")+h.server.counts("settled too late") == 0 {
			c.t.Errorf("node %s was frozen for %s and swept, and did not log it:\n%s", h.place, h.frozen, strings.Join(h.server.tail(100), "\n"))
		}
		z.swept++
	}
	for _, s := range c.servers {
		z.late += s.counts("settled too late")
	}
	if z.swept == 0 && slices.ContainsFunc(c.hits, func(h *hit) bool { return h.frozen > 0 }) {
		c.t.Error("no node was swept while it was frozen: this proves nothing")
	}
	return z
}

// sweptOne reports whether any node reports that it has swept that one.
func (c *chaos) sweptOne(id string) bool {
	return slices.ContainsFunc(c.servers, func(s *server) bool { return s.counts(`"swept":"`+id+`"`) > 0 })
}

// wantCleanLogs checks that no node asked for the operator's attention, except one that was
// swept.
func (c *chaos) wantCleanLogs() {
	c.t.Helper()
	for _, s := range c.servers {
		for _, line := range s.tail(1 << 20) {
			bad := strings.Contains(line, `"level":"ERROR"`) && !strings.Contains(line, "this node was swept")
			if bad || !strings.HasPrefix(line, "{") {
				c.t.Errorf("a node logged: %s", line)
			}
		}
	}
}

// report logs what the cluster went through.
func (c *chaos) report(p plan, ledgers map[string][]ringback.Attempt, r recovery, z zombies) {
	kills, freezes, uncertain, ends := 0, 0, 0, map[ringback.Status]int{}
	for _, h := range c.hits {
		if h.frozen > 0 {
			freezes++
		} else {
			kills++
		}
	}
	for _, ledger := range ledgers {
		for _, a := range ledger {
			if a.Outcome == ringback.AttemptUncertain {
				uncertain++
			}
		}
	}
	looked := 0
	for _, o := range c.orders {
		if o.looksAfter {
			looked++
		}
	}
	for _, s := range c.called {
		ends[s]++
	}
	c.t.Logf(`in %s:
  %d kills, %d freezes, %d restarts of PostgreSQL
  %d jobs, 0 lost: %d asked for until they ended, of the others webhooks said %v
  %d calls of the provider, %d attempts without an outcome, %d webhooks; %d requests were made again, since a node was away or said 503
  %d zombies woke up, %d of their late writes were refused
  jobs of nodes that were killed ran elsewhere after: %s
  jobs of nodes that were frozen: %s
  not counted: %d while PostgreSQL was away too, %d that had been caught %d times`,
		p.lasts, kills, freezes, len(c.outages), len(c.orders), looked, ends,
		len(c.calls.Calls()), uncertain, len(c.receiver.Deliveries()), c.faults, z.swept, z.late,
		distribution(r.killed), distribution(r.frozen), r.disturbed, r.suspects, suspect)
}

func distribution(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	round := func(q float64) time.Duration { return quantile(all, q).Round(time.Millisecond) }
	return fmt.Sprintf("%d, first %s, half %s, 9 of 10 %s, last %s", len(all), round(0), round(.5), round(.9), round(1))
}
