//go:build siege && unix

package e2e_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/simulate"
)

// The siege: a server in 512 MiB is attacked from all sides at once, by strangers, callers,
// providers, receivers and readers, while 20 honest callers submit small jobs and watch
// some of them. Then
//
//   - the server never had more than its limit in RAM, and was never restarted;
//   - at least 999 of 1,000 honest jobs were accepted, answered, watched, read and
//     delivered, and 99 of 100 were accepted within a quarter of a second;
//   - every job that was accepted from anybody ends.
//
// The attackers send prepared texts, few at a time: the test measures the server and not
// the machine. RINGBACK_SIEGE=REGEXP selects attacks by name, RINGBACK_SIEGE_FOR=30s sets
// the duration.
const (
	siegeSeed   = 16
	siegeMemory = 512 << 20
	siegeKey    = "a-key-that-the-honest-have-and-attackers-too"
	// honestShare is the share of honest jobs that must succeed.
	honestShare = 0.999
	// promptly is what the slowest hundredth of honest submissions may take. If the machine
	// has so much other work that even a twin, a server that nobody attacks, takes long in
	// the same seconds, three times as much as the twin takes. The short form runs on
	// machines of every kind, right after all other tests, and only notices what is out of
	// all proportion.
	promptly      = 250 * time.Millisecond
	promptlyShort = time.Second
	twinCallers   = 4
)

func siegeLasts(t *testing.T) time.Duration {
	t.Helper()
	if text := os.Getenv("RINGBACK_SIEGE_FOR"); text != "" {
		d, err := time.ParseDuration(text)
		must(t, err)
		return d
	}
	if long {
		return 10 * time.Minute
	}
	return 30 * time.Second
}

func TestSiege(t *testing.T) {
	// Not parallel: it measures times.
	g := newTarget(t)
	attacks := chosenAttacks(t, os.Getenv("RINGBACK_SIEGE"))
	t.Logf("seed %d, %d attacks for %s", siegeSeed, len(attacks), siegeLasts(t))
	twin := newTwin(t)
	watch, stop := g.limit.watch(g.server, g.book.busy)
	defer stop()

	used := g.cpu()
	ctx, cancel := context.WithTimeout(t.Context(), siegeLasts(t))
	defer cancel()
	var all sync.WaitGroup
	for _, a := range attacks {
		for worker := range a.workers {
			all.Go(func() { g.attack(ctx, a, worker) })
		}
	}
	var calm, storm *outcome
	all.Go(func() { calm = twin.live(t.Context(), siegeLasts(t)) })
	all.Go(func() { storm = g.honest.live(t.Context(), siegeLasts(t)) })
	select {
	case <-ctx.Done():
	case <-g.server.dead:
		cancel()
	}
	spent := g.cpu().since(used)
	g.leave()
	all.Wait()

	fault := watch.fault()
	t.Logf("%s\n%s\n%s\nthe twin: %s\nunder siege: %s", watch.figures(), spent, g.book.report(), calm, storm)
	if fault != "" {
		t.Fatal(fault)
	}
	if storm.share() < honestShare {
		t.Errorf("%.2f %% of the honest jobs went well, want %.2f %%: %s", 100*storm.share(), 100*honestShare, storm)
	}
	bound := promptlyShort
	if long {
		bound = promptly
	}
	if got, want := storm.slowest(), max(bound, 3*calm.slowest()); got > want {
		t.Errorf("the slowest hundredth of the honest submissions took %s, want at most %s (the twin: %s)", got, want, calm.slowest())
	}
	if n := g.book.count(noRetryAfter); n > 0 {
		t.Errorf("%d answers 503 did not say when to come again", n)
	}
	g.allEnd(t)
	if fault := watch.fault(); fault != "" {
		t.Fatal(fault)
	}
	stop()
	g.server.terminate(syscall.SIGTERM)
}

// target is the server under siege, with its surroundings.
type target struct {
	*world
	limit  *memoryLimit
	server *server
	honest *honest
	book   *logbook
	hooks  hostileHooks
	leave  func() // ends the hostile provider and receivers

	large      string // a job with an answer of 30 MiB
	largeWatch string // the path and the token of its stream
}

func newTarget(t *testing.T) *target {
	t.Helper()
	g := &target{book: newLogbook(), limit: newMemoryLimit(t, siegeMemory)}
	g.honest = newHonest(honestCallers, g.book.accepted)
	enemy, shutProvider := hostileAnswers(t, g.book)
	hooks, shutHooks := newHostileHooks(t)
	g.hooks = hooks
	g.leave = func() { shutProvider(); shutHooks() }
	g.world = newWorld(t, setup{
		provider: goodAnswers(),
		enemy:    enemy,
		receiver: simulate.ReceiverConfig{Forget: true, Observe: g.honest.receive},
	})
	g.command = g.limit.around(g.command)
	g.env = append(g.env, g.limit.env...)
	g.server = g.honest.moveIn(g.world)
	accepted, err := g.honest.api.Submit(t.Context(), ringback.Request{Prompt: "large", Model: "sim/30", Events: new([]ringback.EventType{}), Stream: true})
	must(t, err)
	g.large, g.largeWatch = accepted.JobID, accepted.StreamURL
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for e, err := range g.honest.api.Stream(ctx, g.large) {
		must(t, err)
		if e.Job != nil && e.Job.Status != ringback.Completed {
			t.Fatalf("the large job is %s: %s", e.Job.Status, e.Job.Error)
		}
	}
	return g
}

// processor is the processor time that server and test have used, and what was possible.
type processor struct {
	server, test time.Duration
	at           time.Time
}

func (g *target) cpu() (p processor) {
	p.at = time.Now()
	p.test = cpuTime(g.t, "/proc/self/")
	select {
	case <-g.server.dead:
	default:
		p.server = cpuTime(g.t, fmt.Sprintf("/proc/%d/", g.server.cmd.Process.Pid))
	}
	return p
}

func (p processor) since(before processor) string {
	wall := p.at.Sub(before.at)
	return fmt.Sprintf("of %d processors the server had %.0f %%, the test %.0f %%", runtime.NumCPU(),
		100*(p.server-before.server).Seconds()/wall.Seconds(), 100*(p.test-before.test).Seconds()/wall.Seconds())
}

// newTwin starts a server of the same kind, with a few honest callers.
func newTwin(t *testing.T) *honest {
	t.Helper()
	h := newHonest(twinCallers, func(string) {})
	h.moveIn(newWorld(t, setup{provider: goodAnswers(), receiver: simulate.ReceiverConfig{Forget: true, Observe: h.receive}}))
	return h
}

// An attack is something that its workers do repeatedly, with a pause in between, which
// bounds its rate. act returns the result, in a word or two.
type attack struct {
	name    string
	workers int
	pause   time.Duration
	act     func(ctx context.Context, g *target, r *rand.Rand) string
}

// longestAct bounds a single act.
const longestAct = 20 * time.Second

// chosenAttacks returns those whose names match, or all.
func chosenAttacks(t *testing.T, names string) []attack {
	t.Helper()
	match, err := regexp.Compile(names)
	must(t, err)
	all := slices.Concat(strangerAttacks(), callerAttacks(), providerAttacks(), receiverAttacks(), readerAttacks())
	return slices.DeleteFunc(all, func(a attack) bool { return !match.MatchString(a.name) })
}

// attack runs one worker of an attack, until ctx ends.
func (g *target) attack(ctx context.Context, a attack, worker int) {
	h := fnv.New64a()
	fmt.Fprint(h, a.name, worker)
	r := rand.New(rand.NewPCG(siegeSeed, h.Sum64()))
	for sleep(ctx, time.Duration(r.Int64N(int64(a.pause)+1))) {
		act, cancel := context.WithTimeout(ctx, longestAct)
		g.book.begin(a.name)
		what := a.act(act, g, r)
		if ctx.Err() != nil {
			what = "cut short by the end"
		}
		g.book.end(a.name, what)
		cancel()
		if !sleep(ctx, a.pause/2) {
			return
		}
	}
}

// A logbook counts the results of the attacks, and keeps the accepted jobs.
type logbook struct {
	mu     sync.Mutex
	counts map[string]map[string]int
	now    map[string]int
	jobs   []string
}

func newLogbook() *logbook {
	return &logbook{counts: map[string]map[string]int{}, now: map[string]int{}}
}

func (b *logbook) begin(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now[name]++
}

func (b *logbook) end(name, what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now[name]--; b.now[name] == 0 {
		delete(b.now, name)
	}
	if b.counts[name] == nil {
		b.counts[name] = map[string]int{}
	}
	b.counts[name][what]++
}

func (b *logbook) accepted(job string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.jobs = append(b.jobs, job)
}

// count returns how often any attack had a result.
func (b *logbook) count(what string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, counts := range b.counts {
		n += counts[what]
	}
	return n
}

// busy names what is going on, and how often.
func (b *logbook) busy() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return counted(b.now)
}

func (b *logbook) report() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := []string{}
	for _, name := range slices.Sorted(maps.Keys(b.counts)) {
		lines = append(lines, fmt.Sprintf("  %-36s %s", name, counted(b.counts[name])))
	}
	return strings.Join(lines, "\n")
}

func counted(counts map[string]int) string {
	parts := []string{}
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d × %s", counts[what], what))
	}
	return strings.Join(parts, ", ")
}
