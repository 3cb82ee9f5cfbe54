package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/terminal"
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
	return exit.Errorf(exit.JobEnded, "job %s %s. What to do: %s", job.ID, ending(job), s.ours("jobs show %s", job.ID))
}

// ending returns how a job ended without an answer.
func ending(job ringback.Job) string {
	text := map[ringback.Status]string{
		ringback.Failed: "failed", ringback.Cancelled: "was cancelled", ringback.Expired: "expired before it was run to its end",
	}[job.Status]
	if job.ErrorDetail != nil {
		text += fmt.Sprintf(" (%s)", job.ErrorDetail.Code)
	}
	if job.Error != "" {
		text += ": " + terminal.OneLine(job.Error)
	}
	return text
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
			shown.Show(fmt.Sprintf("job %s %s · %s", id, s.standing(ctx, id), terminal.Span(time.Since(begin))))
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
	return standingOf(job, time.Now())
}

func attempts(n int) string {
	if n == 1 {
		return "1 attempt"
	}
	return fmt.Sprintf("%d attempts", n)
}

func standingOf(job ringback.Job, now time.Time) string {
	text := string(job.Status)
	if job.StatusReason != "" {
		text += " · " + job.StatusReason
	}
	switch {
	case job.Attempts > 0 && job.Status == ringback.Running:
		text += fmt.Sprintf(" · attempt %d", job.Attempts+1)
	case job.Attempts > 0 && job.Status == ringback.Queued:
		text += " · " + attempts(job.Attempts) + " made"
	}
	if d := job.RunAt.Sub(now); !job.RunAt.IsZero() && d > 0 {
		text += " · next try in " + terminal.Span(d)
	}
	return text
}
