package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback"
)

func newJobsRedeliver() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "redeliver JOB... [FLAGS]",
		Short: "Send the webhooks of jobs once more, now",
		Long: `Send the webhooks of jobs once more, now: the same webhook-id, the same bytes. It
waits a few seconds for what the receiver says; if that is no 2xx, the exit code is
1, and state and schedule of the webhook are as they were. The provider is not
called.`,
		Example:           `  ringback jobs redeliver 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d`,
		Args:              ids(1, 0, "job", "ringback jobs list"),
		ValidArgsFunction: completeJobs(ended),
	}
	return remote(cmd, func(ctx context.Context, s *session, ids []string) error {
		return s.each(ctx, ids, s.redeliver)
	})
}

// redeliverPatience is how long a try may take that is worth to be waited for:
// longer than a receiver has.
const redeliverPatience = 15 * time.Second

func (s *session) redeliver(ctx context.Context, id string) error {
	before, err := s.Deliveries(ctx, id) // the new try may be over before the call returns
	if err != nil {
		return err
	}
	d, err := s.Redeliver(ctx, id)
	if err != nil {
		return err
	}
	s.sayf("the webhook of job %s is sent once more to %s", printable(id), printable(d.URL))
	tries := triesOf(before, d.ID)
	if d, err = s.nextTry(ctx, d, tries); err != nil {
		return err
	}
	if s.json {
		err = s.printJSON(d)
	} else {
		err = s.print(d.ID + "\n")
	}
	switch {
	case err != nil:
		return err
	case len(d.Tries) <= tries:
		return fail(exitFailure, "it was not sent within %s; what became of it: %s", redeliverPatience, s.ours("jobs show %s", oneLine(id)))
	}
	last := d.Tries[len(d.Tries)-1]
	if last.Error != "" {
		return fail(exitFailure, "the receiver %s. What to do: %s", tryWords(last), s.ours("jobs show %s", oneLine(id)))
	}
	s.sayf("delivered: the receiver %s", tryWords(last))
	return nil
}

func triesOf(all []ringback.Delivery, id string) int {
	for _, d := range all {
		if d.ID == id {
			return len(d.Tries)
		}
	}
	return 0
}

// nextTry waits until a delivery has more than so many tries, or patience ends. It
// returns the delivery as it is then.
func (s *session) nextTry(ctx context.Context, d ringback.Delivery, tries int) (ringback.Delivery, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, redeliverPatience, errWaitedLongEnough)
	defer cancel()
	for len(d.Tries) <= tries {
		err := pause(ctx, 100*time.Millisecond)
		all := []ringback.Delivery{}
		if err == nil {
			all, err = s.Deliveries(ctx, d.JobID)
		}
		if errors.Is(context.Cause(ctx), errWaitedLongEnough) {
			return d, nil
		}
		if err != nil {
			return d, err
		}
		for _, now := range all {
			if now.ID == d.ID {
				d = now
			}
		}
	}
	return d, nil
}
