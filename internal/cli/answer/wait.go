package answer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/cli/remote"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
	"github.com/ringback/ringback/internal/why"
)

// errWaitedLongEnough ends a wait that has a time limit.
var errWaitedLongEnough = errors.New("the wait timed out")

// Await waits until a job ends and prints its answer. It returns an error if there is
// none.
func Await(ctx context.Context, s *remote.Session, id string, how Options) error {
	waiting, cancel := ctx, context.CancelFunc(func() {})
	if how.Limit > 0 {
		waiting, cancel = context.WithTimeoutCause(ctx, how.Limit, errWaitedLongEnough)
	}
	defer cancel()
	job, err := wait(waiting, s, id)
	if err != nil {
		return waitFailed(ctx, s, id, how, err)
	}
	return Print(s, job)
}

// waitFailed explains why a wait ended before the job, and how to continue.
func waitFailed(ctx context.Context, s *remote.Session, id string, how Options, err error) error {
	switch {
	case ctx.Err() != nil:
		return exit.Errorf(exit.Interrupted, "interrupted; job %s %s. Wait for it again: %s; end it: %s",
			id, how.Leaving, s.CommandLine("jobs watch %s", id), s.CommandLine("jobs cancel %s", id))
	case errors.Is(err, errWaitedLongEnough):
		return exit.Errorf(exit.WaitTime, "job %s has not ended in %s, and %s. Wait for it again: %s; why it takes so long: %s",
			id, how.Limit, how.Leaving, s.CommandLine("jobs watch %s", id), s.CommandLine("jobs show %s", id))
	}
	return err
}

// Print prints the answer of a job.
func Print(s *remote.Session, job ringback.Job) error {
	var err error
	switch {
	case s.JSON:
		err = s.PrintJSON(job)
	case job.Result != nil:
		err = s.PrintText(*job.Result)
	}
	if err == nil && job.Status != ringback.Completed {
		err = unanswered(s, job)
	}
	return err
}

// unanswered returns the error of a job that ended without an answer.
func unanswered(s *remote.Session, job ringback.Job) error {
	return exit.Errorf(exit.JobEnded, "job %s %s. What to do: %s", job.ID, why.NoAnswer(job), s.CommandLine("jobs show %s", job.ID))
}

// wait waits until a job ends, and shows its status meanwhile.
func wait(ctx context.Context, s *remote.Session, id string) (ringback.Job, error) {
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
			shown.Show(fmt.Sprintf("job %s %s · %s", id, standing(ctx, s, id), plain.Span(time.Since(begin))))
		}
	}
}

// standing returns the status of a job in a few words.
func standing(ctx context.Context, s *remote.Session, id string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	job, err := s.Get(ctx, id)
	if err != nil {
		return "is out of sight: the server does not answer; it is asked again"
	}
	return why.Status(job, time.Now())
}
