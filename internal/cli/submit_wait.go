package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
	"github.com/ringback/ringback/internal/why"
)

// errWaitedLongEnough ends a wait that has a time limit.
var errWaitedLongEnough = errors.New("the wait timed out")

// awaitAnswer waits until a job ends and prints its answer. It returns an error if there is
// none.
func (s *session) awaitAnswer(ctx context.Context, id string, how showing) error {
	waiting, cancel := ctx, context.CancelFunc(func() {})
	if how.limit > 0 {
		waiting, cancel = context.WithTimeoutCause(ctx, how.limit, errWaitedLongEnough)
	}
	defer cancel()
	job, err := s.await(waiting, id)
	if err != nil {
		return s.waitFailed(ctx, id, how, err)
	}
	return s.printAnswer(job)
}

// waitFailed explains why a wait ended before the job, and how to continue.
func (s *session) waitFailed(ctx context.Context, id string, how showing, err error) error {
	switch {
	case ctx.Err() != nil:
		return exit.Errorf(exit.Interrupted, "interrupted; job %s %s. Wait for it again: %s; end it: %s",
			id, how.leaving, s.ours("jobs watch %s", id), s.ours("jobs cancel %s", id))
	case errors.Is(err, errWaitedLongEnough):
		return exit.Errorf(exit.WaitTime, "job %s has not ended in %s, and %s. Wait for it again: %s; why it takes so long: %s",
			id, how.limit, how.leaving, s.ours("jobs watch %s", id), s.ours("jobs show %s", id))
	}
	return err
}

// printAnswer prints the answer of a job.
func (s *session) printAnswer(job ringback.Job) error {
	var err error
	switch {
	case s.JSON:
		err = s.PrintJSON(job)
	case job.Result != nil:
		err = s.PrintText(*job.Result)
	}
	if err == nil && job.Status != ringback.Completed {
		err = s.unanswered(job)
	}
	return err
}

// unanswered returns the error of a job that ended without an answer.
func (s *session) unanswered(job ringback.Job) error {
	return exit.Errorf(exit.JobEnded, "job %s %s. What to do: %s", job.ID, why.NoAnswer(job), s.ours("jobs show %s", job.ID))
}

// await waits until a job ends, and shows its status meanwhile.
func (s *session) await(ctx context.Context, id string) (ringback.Job, error) {
	type ended struct {
		job ringback.Job
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	end := make(chan ended, 1)
	go func() {
		job, err := s.Wait(ctx, id)
		end <- ended{job, err}
	}()
	shown := s.NewProgress()
	defer shown.Clear()
	begin := time.Now()
	tick := time.NewTicker(shown.Pace())
	defer tick.Stop()
	for {
		select {
		case e := <-end:
			return e.job, e.err
		case <-tick.C:
			shown.Show(fmt.Sprintf("job %s %s · %s", id, s.standing(ctx, id), plain.Span(time.Since(begin))))
		}
	}
}

// standing returns the status of a job in a few words.
func (s *session) standing(ctx context.Context, id string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	job, err := s.Get(ctx, id)
	if err != nil {
		return "is out of sight: the server does not answer; it is asked again"
	}
	return why.Status(job, time.Now())
}
