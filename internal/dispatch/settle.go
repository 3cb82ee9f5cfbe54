package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

// settlement is what becomes of an attempt, until it is stored.
type settlement struct {
	*Dispatcher

	job     *store.Job
	decide  store.Decide
	webhook Claim // claimed with the settle; nil if there is none
}

// settle stores what became of an attempt. An answer that was paid for is not thrown away
// because the disk is full or the store can't be reached: settle tries again until it is
// stored, the job has moved on, or the node is told to stop.
func (d *Dispatcher) settle(j *store.Job, res outcome.Result, endedAt time.Time, p Progress) {
	s := settlement{Dispatcher: d, job: j}
	s.choose(res, endedAt.Truncate(time.Millisecond))
	for tries := 1; ; tries++ {
		seen := decisions{}
		after, err := d.cfg.Store.Settle(context.Background(), j.Ref(), seen.of(d.cfg.Supervisor.Careful(s.decide)))
		unreached := d.cfg.Supervisor.OutOfReach(supervise.StepSettle, err)
		if err == nil {
			d.recorder.moves(seen, after)
			p.Settled(&after, endedAt)
			s.stored(after)
			return
		}
		if errors.Is(err, store.ErrNoLease) && s.webhook != nil {
			s.dropClaim()
			continue
		}
		if !s.again(err, tries, unreached) {
			s.giveUp()
			return
		}
		if !backoff.Sleep(d.cfg.Calls, supervise.SettlePause(tries, err)) {
			s.giveUp()
			d.inflight.drain(j.Ref(), res.Drain())
			return
		}
		if tries == supervise.SettleTries && !supervise.IsTransient(err) {
			s.replace()
		}
	}
}

// again reports whether a settle that failed is to be tried again, and logs that it failed.
func (s *settlement) again(err error, tries int, unreached bool) bool {
	if errors.Is(err, store.ErrFenced) {
		s.cfg.Metrics.Fenced.Inc()
		s.cfg.Logger.Warn("attempt settled too late: the job has moved on", "job_id", s.job.ID, "attempt", s.job.Fence)
	}
	if !s.cfg.Supervisor.TryAgain(err) {
		return false
	}
	if !unreached && s.cfg.Supervisor.WorthLogging(tries, err) { // else one line is enough, however many wait
		s.cfg.Logger.Error("attempt not stored, trying again", "job_id", s.job.ID, "attempt", s.job.Fence, "err", err)
	}
	return true
}

// giveUp gives back the claim on the webhook: it is not stored.
func (s *settlement) giveUp() {
	if s.webhook != nil {
		s.webhook.GiveUp()
		s.webhook = nil
	}
}

// dropClaim decides again without the claim on the webhook: the lease that it takes is
// lost.
func (s *settlement) dropClaim() {
	s.giveUp()
	decide := s.decide
	s.decide = func(j store.Job) store.Outcome {
		o := decide(j)
		if o.Delivery != nil {
			due := *o.Delivery
			due.Node = ""
			o.Delivery = &due
		}
		return o
	}
}

// replace replaces an outcome that the store can't take.
func (s *settlement) replace() {
	s.giveUp()
	now := s.cfg.Clock.Stamped()
	s.decide = s.concluding(func(row store.Job) store.Outcome { return outcome.Unstorable(row, now) })
}

// stored passes on what a settled job causes: to its watchers, its webhook, its next attempt.
func (s *settlement) stored(after store.Job) {
	if after.Status == ringback.Queued {
		s.cfg.Moved(after.ID)
		s.Wake()
		return
	}
	if s.webhook != nil {
		s.webhook.Send()
	}
	s.ended(after)
}

// ended passes on that a job is terminal.
func (d *Dispatcher) ended(j store.Job) {
	d.cfg.Moved(j.ID)
	d.cfg.Caused()
}

// choose sets what becomes of the job. If choosing panics, the attempt has failed. If that
// panics too, the job is quarantined: left running, it would be freed and run again.
func (s *settlement) choose(res outcome.Result, at time.Time) {
	err := s.tryFollow(res, at)
	if err != nil {
		err = s.tryFollow(outcome.Failed(internalError(err, res.Sent())), at)
	}
	if err != nil {
		s.decide = s.concluding(func(row store.Job) store.Outcome { return outcome.Quarantine(row, at) })
	}
}

// tryFollow is follow, with a panic as an error.
func (s *settlement) tryFollow(res outcome.Result, at time.Time) error {
	return s.cfg.Supervisor.Guarded("decide about a job", func() error {
		s.follow(res, at)
		return nil
	}, "job_id", s.job.ID, "attempt", s.job.Fence)
}

// follow sets what becomes of a job whose attempt ended with res. An answer's webhook is
// made here, outside the transaction, and may be in flight from its insert on; the rest
// depends on the row as it is inside the transaction, and is made there.
func (s *settlement) follow(res outcome.Result, at time.Time) {
	if a := res.Answer(); a != nil {
		o := s.cfg.Policy.Decide(*s.job, res, at)
		s.webhook = s.cfg.Webhooks.Answered(*s.job, &o, a)
		s.decide = func(store.Job) store.Outcome { return o }
		return
	}
	decide := s.concluding(func(row store.Job) store.Outcome { return s.cfg.Policy.Decide(row, res, at) })
	// Nearly always the row is as it was when it was claimed. So the outcome, which may
	// hold megabytes of a partial answer, is made outside, too.
	claimed := *s.job
	expected := decide(claimed)
	s.decide = func(row store.Job) store.Outcome {
		same := row.CancelRequested == claimed.CancelRequested && (len(res.Kept.Partial.Bytes) > 0 || len(row.Partial.Bytes) == 0)
		if same {
			return expected
		}
		return decide(row)
	}
}

// concluding returns a decision with the webhook that an end without an answer causes.
func (d *Dispatcher) concluding(decide store.Decide) store.Decide {
	return func(row store.Job) store.Outcome { return d.cfg.Webhooks.Conclude(row, decide(row)) }
}
