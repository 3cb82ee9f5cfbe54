package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/clock"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/metrics"
	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

// fakeStore stores settles, after it has failed with each of errs. It has nothing else.
type fakeStore struct {
	Store

	errs    []error
	settled []store.Outcome // what was to be stored, also by settles that failed
}

func (s *fakeStore) Settle(_ context.Context, ref store.Ref, decide store.Decide) (store.Job, error) {
	row := job(ref)
	o := decide(row)
	s.settled = append(s.settled, o)
	if len(s.errs) > 0 {
		err := s.errs[0]
		s.errs = s.errs[1:]
		return store.Job{}, err
	}
	return store.Apply(row, o, store.Retention{}), nil
}

// fakeWebhooks makes a webhook for each answer, and claims it.
type fakeWebhooks struct{ log []string }

func (w *fakeWebhooks) Conclude(_ store.Job, o store.Outcome) store.Outcome { return o }

func (w *fakeWebhooks) Answered(_ store.Job, o *store.Outcome, _ *provider.Answer) Claim {
	o.Delivery = &store.NewDelivery{Node: "node"}
	return w
}

func (w *fakeWebhooks) Send() { w.log = append(w.log, "sent") }

func (w *fakeWebhooks) GiveUp() { w.log = append(w.log, "given up") }

// fakeExecutor is an executor whose calls end with res.
type fakeExecutor func(ctx context.Context, j *store.Job, p *permit) outcome.Result

func (f fakeExecutor) Execute(ctx context.Context, j *store.Job, p *permit) outcome.Result {
	return f(ctx, j, p)
}

type fakeSession struct{ ctx context.Context }

func (s fakeSession) ID() string { return "node" }

func (s fakeSession) Leased() bool { return true }

func (s fakeSession) Context() context.Context { return s.ctx }

// job is a job whose attempt runs.
func job(ref store.Ref) store.Job {
	return store.Job{
		ID: ref.ID, Fence: ref.Fence, Status: ringback.Running, Node: "node", Provider: "p", Model: "m",
		StartedAt: time.Now(), FirstStartedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
		Options: store.Options{MaxAttempts: 3, Timeout: time.Minute},
	}
}

func newTestDispatcher(t *testing.T, s Store, w Webhooks) *Dispatcher {
	t.Helper()
	clk, log, counts := new(clock.Clock), slog.New(slog.DiscardHandler), metrics.NewNode(nil)
	disk := supervise.NewDisk(supervise.DiskConfig{Logger: log})
	budgets := memory.NewPools(memory.Parts{}, 1)
	return New(Config{
		Store: s, Clock: clk, Disk: disk, Logger: log, Metrics: &counts.Dispatch, Submitted: counts.Intake.Submitted,
		Supervisor: supervise.New(supervise.Config{
			Logger: log, Clock: clk, Disk: disk, Panics: counts.Panics, Shortages: counts.Shortages, RetryDelay: time.Second,
			NoLease: func(error) bool { return false }, Quarantine: func(j store.Job) store.Outcome { return outcome.Quarantine(j, time.Now()) },
		}),
		Policy: outcome.Policy{MaxUncertain: 10, RetryDelay: time.Second}, Memory: &budgets,
		Providers: map[string]Provider{"p": {}}, Concurrency: 1, Calls: t.Context(),
		Webhooks: w, Watch: func(*store.Job, Session) Progress { return Unwatched{} },
		Interrupted: func(error) bool { return false },
		Moved:       func(uuid.UUID) {}, Caused: func() {}, Held: func() {},
	})
}

func answer() outcome.Result {
	return outcome.Answered(&provider.Answer{Message: json.RawMessage(`{}`), Usage: json.RawMessage(`{}`)})
}

var errDisk = errors.New("it can't be stored")

func TestAnAnswerIsSettledUntilItIsStored(t *testing.T) {
	for name, c := range map[string]struct {
		errs     []error
		settles  int
		claimed  bool // the last settle has the webhook in flight
		webhook  string
		finished ringback.Status // by the last settle
	}{
		"at once":                       {settles: 1, claimed: true, webhook: "sent", finished: ringback.Completed},
		"the store was full":            {errs: slices.Repeat([]error{store.ErrFull}, 9), settles: 10, claimed: true, webhook: "sent", finished: ringback.Completed},
		"the lease was lost":            {errs: []error{store.ErrNoLease}, settles: 2, webhook: "given up", finished: ringback.Completed},
		"the job has moved on":          {errs: []error{store.ErrFenced}, settles: 1, claimed: true, webhook: "given up", finished: ringback.Completed},
		"it can't be stored":            {errs: slices.Repeat([]error{errDisk}, 5), settles: 6, webhook: "given up", finished: ringback.Failed},
		"it could not be stored thrice": {errs: slices.Repeat([]error{errDisk}, 3), settles: 4, claimed: true, webhook: "sent", finished: ringback.Completed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, w := &fakeStore{errs: c.errs}, &fakeWebhooks{}
				d := newTestDispatcher(t, s, w)
				j := job(store.Ref{ID: uuid.New(), Fence: 1})
				d.settle(&j, answer(), time.Now(), Unwatched{})
				if len(s.settled) != c.settles {
					t.Fatalf("settles: got %d, want %d", len(s.settled), c.settles)
				}
				last := s.settled[len(s.settled)-1]
				if last.Status != c.finished {
					t.Errorf("the last settle: got %s, want %s", last.Status, c.finished)
				}
				if claimed := last.Delivery != nil && last.Delivery.Node != ""; claimed != c.claimed {
					t.Errorf("the webhook is in flight: got %v, want %v", claimed, c.claimed)
				}
				if want := []string{c.webhook}; !slices.Equal(w.log, want) {
					t.Errorf("the claim on the webhook: got %v, want %v", w.log, want)
				}
			})
		})
	}
}

func TestASettleThatTheDrainEndsIsLeftToItsOneTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWebhooks{}
		d := newTestDispatcher(t, &fakeStore{errs: slices.Repeat([]error{store.ErrUnavailable}, 100)}, w)
		calls, end := context.WithCancelCause(t.Context())
		d.cfg.Calls = calls
		j := job(store.Ref{ID: uuid.New(), Fence: 1})
		time.AfterFunc(10*time.Second, func() { end(ErrDrain) })
		d.settle(&j, answer(), time.Now(), Unwatched{})
		res, kept := d.inflight.drained[j.Ref()]
		if !kept || res.Stop() != outcome.Drained || !res.Sent() || !slices.Equal(w.log, []string{"given up"}) {
			t.Errorf("got %+v, kept %v, webhook %v; want a drained result that was sent, and no claim", res, kept, w.log)
		}
	})
}

func TestAnExecutorNeedsNoProvider(t *testing.T) {
	for name, c := range map[string]struct {
		execute fakeExecutor
		want    ringback.AttemptOutcome
	}{
		"it answers": {func(context.Context, *store.Job, *permit) outcome.Result { return answer() }, ringback.AttemptAnswered},
		"it panics":  {func(context.Context, *store.Job, *permit) outcome.Result { panic("a mistake") }, ringback.AttemptFailed},
		"it is cancelled": {func(ctx context.Context, _ *store.Job, _ *permit) outcome.Result {
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), errCancelled) {
				panic("another cause")
			}
			return outcome.Stopped(outcome.Cancelled, nil)
		}, ringback.AttemptCancelled},
	} {
		t.Run(name, func(t *testing.T) {
			s := &fakeStore{}
			d := newTestDispatcher(t, s, &fakeWebhooks{})
			d.executor = c.execute
			j := job(store.Ref{ID: uuid.New(), Fence: 1})
			d.inflight.start(j.Ref(), fakeSession{t.Context()})
			if name == "it is cancelled" {
				d.inflight.Cancel(j.Ref())
			}
			p := d.scheduler.take(j.Lane())
			p.session = fakeSession{t.Context()}
			d.attempt(&j, p)
			p.give()
			if len(s.settled) != 1 || s.settled[0].Attempt.Outcome != c.want {
				t.Errorf("got %+v, want one attempt that is %s", s.settled, c.want)
			}
		})
	}
}

func TestACancelThatComesBeforeItsAttemptIsNotLost(t *testing.T) {
	r, s := newInflight(), fakeSession{t.Context()}
	early, late, gone := store.Ref{ID: uuid.New(), Fence: 1}, store.Ref{ID: uuid.New(), Fence: 1}, store.Ref{ID: uuid.New(), Fence: 1}
	r.start(late, s)
	for _, ref := range []store.Ref{early, late, gone} {
		r.cancelNowOrLater(ref)
	}
	r.Forget(map[store.Ref]bool{early: true})
	r.start(early, s)
	for name, ref := range map[string]store.Ref{"before its claim was known": early, "before its call": late} {
		ctx, end := context.WithCancelCause(t.Context())
		r.enter(ref, end)
		if !errors.Is(context.Cause(ctx), errCancelled) {
			t.Errorf("cancelled %s: got %v, want the end of its call", name, context.Cause(ctx))
		}
		end(nil)
		r.leave(ref)
	}
	if n := r.Remembered(); n != 0 {
		t.Errorf("remembered: got %d, want none", n)
	}
}

// brokenWebhooks panics about each job that ends or waits.
type brokenWebhooks struct{ fakeWebhooks }

func (*brokenWebhooks) Conclude(store.Job, store.Outcome) store.Outcome { panic("no webhook") }

// A job that was left running would be freed and run again, for ever.
func TestAJobAboutWhichEachDecisionPanicsIsQuarantined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeStore{}
		d := newTestDispatcher(t, s, &brokenWebhooks{})
		j := job(store.Ref{ID: uuid.New(), Fence: 1})
		d.settle(&j, outcome.Failed(&provider.Error{Verdict: provider.Retry}), time.Now(), Unwatched{})
		if len(s.settled) != 1 || s.settled[0].Status != ringback.Failed {
			t.Errorf("settled: got %+v, want one failure", s.settled)
		}
	})
}
