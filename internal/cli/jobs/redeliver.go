package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/cli/remote"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
	"github.com/ringback/ringback/internal/terminal"
	"github.com/ringback/ringback/internal/why"
)

func newRedeliver() *cobra.Command {
	var r Redelivery
	cmd := &cobra.Command{
		Use:   "redeliver JOB... [FLAGS]",
		Short: "Send webhooks again now, or to another URL",
		Long: `Send the webhooks of jobs again, now: the same webhook-id, the same bytes. Each gets
one try, even while the receiver's host is held. If it succeeds, the hold ends and
every webhook that was waiting for it is sent. The provider is not called.

The command waits for the try and prints the receiver's response. The exit code is 1
if that is not a 2xx; the webhook's state and schedule are then unchanged.

--to sends the answer of a job that has ended to another URL, even if the job wanted no
webhook. This is a new delivery with its own id and its own tries; the same URL again
sends that delivery again. --webhook-body sends a smaller or larger form, this time and
on later tries.`,
		Example: `  ringback jobs redeliver 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d
  ringback jobs redeliver --to https://example.com/hook 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d
  ringback jobs redeliver --webhook-body thin 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d`,
		Args:              remote.IDs(1, 0, "job", "ringback jobs list"),
		ValidArgsFunction: complete(ended),
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&r.To, "to", "", "`URL` send it here instead of to the callback URL")
	flags.StringVar(&r.form, "webhook-body", "", "`full|result|thin` how much the webhook contains; default: as in its last try")
	flags.BoolVar(&r.NoWait, "no-wait", false, "do not wait for the receiver's response")
	terminal.CompleteWords(cmd, map[string][]string{"webhook-body": {string(ringback.WebhookFull), string(ringback.WebhookResult), string(ringback.WebhookThin)}})
	return remote.Command(cmd, func(ctx context.Context, s *remote.Session, ids []string) error {
		return s.Each(ctx, ids, func(ctx context.Context, id string) error { return Redeliver(ctx, s, id, r) })
	})
}

// Redelivery is how to send a webhook again.
type Redelivery struct {
	To     string // another URL; "": the callback URL
	form   string // "": as in the last try
	NoWait bool   // for the receiver's response
}

func (r Redelivery) options() (options []client.RedeliverOption) {
	if r.To != "" {
		options = append(options, client.ToURL(r.To))
	}
	if r.form != "" {
		options = append(options, client.InForm(ringback.WebhookBody(r.form)))
	}
	return options
}

// errNoTry ends the wait for a try.
var errNoTry = errors.New("there was no try in time")

// RedeliverPatience is how long the command waits for a try: longer than a receiver has to
// respond.
const RedeliverPatience = 35 * time.Second

// Redeliver sends a job's webhook again and prints how the try ended.
func Redeliver(ctx context.Context, s *remote.Session, id string, r Redelivery) error {
	before, err := s.Deliveries(ctx, id) // the new try may be over before the call returns
	if err != nil {
		return err
	}
	d, err := s.Redeliver(ctx, id, r.options()...)
	if err != nil {
		return err
	}
	s.Sayf("sending the webhook of job %s again to %s", plain.Printable(id), plain.Printable(d.URL))
	tries := triesOf(before, d.ID)
	if !r.NoWait {
		if d, err = nextTry(ctx, s, d, tries); err != nil {
			return err
		}
	}
	if s.JSON {
		err = s.PrintJSON(d)
	} else {
		err = s.Print(d.ID + "\n")
	}
	if err != nil || r.NoWait {
		return err
	}
	return outcome(s, id, d, tries)
}

// outcome prints how a redelivery ended.
func outcome(s *remote.Session, job string, d ringback.Delivery, before int) error {
	show := s.CommandLine("jobs show %s", plain.OneLine(job))
	if len(d.Tries) <= before {
		return exit.Errorf(exit.Failure, "it was not sent within %s and is still pending.%s To see its outcome: %s", RedeliverPatience, why.Held(d, time.Now()), show)
	}
	last := d.Tries[len(d.Tries)-1]
	if last.Error != "" {
		return exit.Errorf(exit.Failure, "the receiver %s.%s%s What to do: %s", why.Try(last), why.NextTry(d, time.Now()), why.Held(d, time.Now()), show)
	}
	s.Sayf("delivered: the receiver %s%s", why.Try(last), why.Form(last))
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

// nextTry waits until the delivery has more than this many tries, or patience ends, and
// returns the delivery.
func nextTry(ctx context.Context, s *remote.Session, d ringback.Delivery, tries int) (ringback.Delivery, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, RedeliverPatience, errNoTry)
	defer cancel()
	for d.Redelivering || len(d.Tries) <= tries {
		err := backoff.Pause(ctx, 100*time.Millisecond)
		all := []ringback.Delivery{}
		if err == nil {
			all, err = s.Deliveries(ctx, d.JobID)
		}
		if errors.Is(context.Cause(ctx), errNoTry) {
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
