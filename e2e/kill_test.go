package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/simulate"
)

const (
	submitters = 16
	// underway is the largest number of jobs between their acceptance and their webhook: a
	// load that can go on indefinitely.
	underway = 160
	// killWithin bounds how many events of the provider and the receiver there are between
	// the moment that a server is up and its kill.
	killWithin = 3000
)

// Kills in a loop, under load: every accepted job ends exactly once, its webhook arrives at
// least once, always with the same id and bytes; and the provider is called again only for
// what the ledger explains.
func TestNothingIsLostByKills(t *testing.T) {
	t.Parallel()
	enough := func(kills int) bool { return kills >= 8 }
	if long {
		until := time.Now().Add(5 * time.Minute)
		enough = func(int) bool { return time.Now().After(until) }
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	l := newLoad(t)
	g, ctx := errgroup.WithContext(ctx)
	for n := range submitters {
		g.Go(func() error { return l.submitUntilDone(ctx, n) })
	}
	kills := l.killUntil(ctx, enough)
	close(l.done)
	must(t, g.Wait())

	jobs := l.accepted()
	l.wantAllEnded(jobs)
	l.wantNoOthers(jobs)
	l.wantLedgers(jobs)
	t.Logf("%d kills, %d jobs, %d calls of the provider, %d webhooks", kills, len(jobs), len(l.calls.Calls()), len(l.receiver.Deliveries()))
}

// load is a world under load.
type load struct {
	*world
	done  chan struct{} // closed when nothing more should be submitted
	slots chan struct{} // holds one for each job in progress

	mu     sync.Mutex
	jobs   map[string]ringback.Request // by the id that was accepted
	seen   map[string]bool             // ids of jobs for which a webhook has arrived
	events int                         // of provider and receiver
	moved  chan struct{}               // closed at the next event
}

func newLoad(t *testing.T) *load {
	l := &load{
		done: make(chan struct{}), slots: make(chan struct{}, underway),
		jobs: map[string]ringback.Request{}, seen: map[string]bool{}, moved: make(chan struct{}),
	}
	l.world = newWorld(t, setup{
		racing:  long,
		observe: func(simulate.Call) { l.event("") },
		receiver: simulate.ReceiverConfig{
			Forget:  true,
			Observe: func(d simulate.Delivery) { l.event(d.JobID) },
			Answer:  nowAndThen500,
		},
	})
	return l
}

// nowAndThen500 refuses the first try of each seventh webhook.
func nowAndThen500(d simulate.Delivery) simulate.Answer {
	h := fnv.New32()
	h.Write([]byte(d.ID))
	if d.Try == 1 && h.Sum32()%7 == 0 {
		return simulate.Answer{Status: 500}
	}
	return simulate.Answer{}
}

// event counts what has happened. A job's first webhook lets another one in.
func (l *load) event(job string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if job != "" && !l.seen[job] {
		l.seen[job] = true
		select {
		case <-l.slots:
		default: // of a job that nobody submitted: the final checks report it
		}
	}
	l.events++
	close(l.moved)
	l.moved = make(chan struct{})
}

// await returns after n further events.
func (l *load) await(ctx context.Context, n int) error {
	l.mu.Lock()
	until := l.events + n
	l.mu.Unlock()
	for {
		l.mu.Lock()
		enough, moved := l.events >= until, l.moved
		l.mu.Unlock()
		if enough {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// killUntil kills the server at a random event and restarts it, until enough reports true.
// The last server stays alive.
func (l *load) killUntil(ctx context.Context, enough func(kills int) bool) (kills int) {
	l.t.Helper()
	s := l.start()
	for !enough(kills) {
		must(l.t, l.await(ctx, 1+rand.IntN(killWithin)))
		s.kill()
		kills++
		if s.cmd.ProcessState.ExitCode() >= 0 {
			l.t.Fatalf("the server ended by itself, with %v", s.cmd.ProcessState)
		}
		s = l.start()
	}
	return kills
}

// request returns the nth of a submitter: mostly a short answer, some long, some from a
// model that fails the first time, one that the provider refuses for good. Those that fail
// have a model each, so that no breaker delays them.
func request(submitter, n int, callback string) ringback.Request {
	r := ringback.Request{
		Prompt: fmt.Sprintf("request %d of submitter %d", n, submitter), CallbackURL: callback,
		Model: "sim/echo", MaxAttempts: new(20), // a kill costs none of them
	}
	switch n % 8 {
	case 1, 3, 5:
		r.Model = "sim/slow?words=20&pace=5ms"
	case 2:
		r.Model = fmt.Sprintf("sim/flaky-1?words=%d", 1+(submitter+submitters*n)%1000)
	case 6:
		if n%16 == 6 {
			r.Model = "sim/status-400"
		}
	}
	return r
}

// submitUntilDone submits each request exactly once: repeatedly under the same key until it
// is accepted.
func (l *load) submitUntilDone(ctx context.Context, submitter int) error {
	for n := 0; ; n++ {
		select {
		case <-l.done:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case l.slots <- struct{}{}:
		}
		r := request(submitter, n, l.callback)
		id, err := l.submitOnce(ctx, r)
		if err != nil {
			return fmt.Errorf("submit %q: %w", r.Prompt, err)
		}
		l.mu.Lock()
		l.jobs[id] = r
		l.mu.Unlock()
	}
}

func (l *load) submitOnce(ctx context.Context, r ringback.Request) (string, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		accepted, err := l.api.Submit(ctx, r, client.IdempotencyKey(r.Prompt))
		if err == nil {
			return accepted.JobID, nil
		}
		if e, ok := errors.AsType[*ringback.Error](err); ok && e.Code != ringback.Unavailable {
			return "", err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", err
		}
	}
}

// accepted returns the requests that got a 202, by job id.
func (l *load) accepted() map[string]ringback.Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.jobs
}

// each calls do for all jobs, a few at a time.
func each(t *testing.T, jobs map[string]ringback.Request, do func(id string, r ringback.Request) error) {
	t.Helper()
	var g errgroup.Group
	g.SetLimit(submitters)
	for id, r := range jobs {
		g.Go(func() error { return do(id, r) })
	}
	must(t, g.Wait())
}

// wantAllEnded checks that every job ends as its request must, and that its webhook is
// delivered.
func (l *load) wantAllEnded(jobs map[string]ringback.Request) {
	l.t.Helper()
	each(l.t, jobs, func(id string, r ringback.Request) error {
		job, err := l.deliveredWithin(id)
		if err != nil {
			return fmt.Errorf("job %s (%s): %w", id, r.Model, err)
		}
		want := ringback.Completed
		if r.Model == "sim/status-400" {
			want = ringback.Failed
		}
		killer := job.ErrorDetail != nil && job.ErrorDetail.Code == ringback.CodeUncertain // caught in ten kills
		if job.Status != want && (!killer || !long) {
			l.t.Errorf("job %s (%s, %q) is %s: %s", id, r.Model, r.Prompt, job.Status, job.Error)
		}
		if r.Model == "sim/echo" && job.Status == ringback.Completed && *job.Result != r.Prompt {
			l.t.Errorf("job %s was asked %q and answered %q", id, r.Prompt, *job.Result)
		}
		return nil
	})
	for id := range jobs {
		if !l.seen[id] {
			l.t.Errorf("no webhook of job %s ever came", id)
		}
	}
	for id := range l.seen {
		if _, ok := jobs[id]; !ok {
			l.t.Errorf("a webhook came for job %s, which was never submitted", id)
		}
	}
}

// wantNoOthers checks that there are no other jobs than those accepted: a repeated
// submission made no second one.
func (l *load) wantNoOthers(jobs map[string]ringback.Request) {
	l.t.Helper()
	listed := 0
	for q := (client.Query{Limit: 100}); ; {
		page, err := l.api.List(l.t.Context(), q)
		must(l.t, err)
		for _, j := range page.Data {
			if listed++; !j.Status.Terminal() {
				l.t.Errorf("job %s is still %s", j.ID, j.Status)
			}
			if _, ok := jobs[j.ID]; !ok {
				l.t.Errorf("job %s is there a second time, under an id that no client knows", j.ID)
			}
		}
		if page.NextCursor == nil {
			break
		}
		q.Cursor = *page.NextCursor
	}
	if listed != len(jobs) {
		l.t.Errorf("%d jobs are there, want the %d that were accepted", listed, len(jobs))
	}
}

// wantLedgers checks that each call of the provider is in its job's ledger, and that the
// ledger explains each further one.
func (l *load) wantLedgers(jobs map[string]ringback.Request) {
	l.t.Helper()
	calls := map[string]int{} // by prompt
	for _, c := range l.calls.Calls() {
		calls[c.Prompt]++
	}
	each(l.t, jobs, func(id string, r ringback.Request) error {
		ledger, err := l.api.Attempts(l.t.Context(), id)
		if err != nil {
			return err
		}
		if wrong := checkLedger(ledger, calls[r.Prompt]); wrong != "" {
			l.t.Errorf("job %s (%s, %d calls of the provider): %s\n%s", id, r.Model, calls[r.Prompt], wrong, describe(ledger))
		}
		return nil
	})
}

// checkLedger returns what is wrong with the ledger of a job that has ended, and for which
// the provider was called that often.
func checkLedger(ledger []ringback.Attempt, calls int) string {
	count := map[ringback.AttemptOutcome]int{}
	for i, a := range ledger {
		count[a.Outcome]++
		last := i == len(ledger)-1
		switch {
		case i > 0 && a.Number <= ledger[i-1].Number:
			return "the numbers do not grow"
		case a.Outcome == ringback.AttemptAnswered && !last:
			return "it was tried again after it was answered"
		}
		switch a.Outcome {
		case ringback.AttemptAnswered, ringback.AttemptFailed, ringback.AttemptUncertain, ringback.AttemptRefused, ringback.AttemptReleased,
			ringback.AttemptCancelled:
		default:
			return fmt.Sprintf("attempt %d has the outcome %q", a.Number, a.Outcome)
		}
	}
	if most := len(ledger) - count[ringback.AttemptReleased]; calls > most {
		return fmt.Sprintf("the ledger explains %d calls", most)
	}
	if least := count[ringback.AttemptAnswered] + count[ringback.AttemptFailed]; calls < least {
		return fmt.Sprintf("the ledger tells of %d answers and failures", least)
	}
	return ""
}

func describe(ledger []ringback.Attempt) string {
	var lines []string
	for _, a := range ledger {
		lines = append(lines, fmt.Sprintf("  %d on %s: %s %d %s", a.Number, a.Node, a.Outcome, a.StatusCode, a.Error))
	}
	return strings.Join(lines, "\n")
}
