// Package submit is the command submit.
//
//	submit.go   the command: submit a job, again and again if need be
//	request.go  the request, built from flags, files and the prompt
package submit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/cli/answer"
	"github.com/ringback/ringback/internal/cli/remote"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
	"github.com/ringback/ringback/internal/terminal"
)

// submission is the flags of submit that are not part of the request.
type submission struct {
	prompt promptSource
	key    string // Idempotency-Key; "": one is made
	patience,
	waitTimeout time.Duration
	wait, stream, thinking bool
}

// New makes ringback submit.
func New() *cobra.Command {
	var c submission
	cmd := &cobra.Command{
		Use:   "submit [PROMPT | -] [FLAGS]",
		Short: "Submit a job; with --wait or --stream, print its answer",
		Long: `Submit a job. The prompt is the argument, the text in --file, or stdin (with -, or if
there is no prompt and stdin is not a terminal). --request takes a whole request as for
POST /api/generate, JSON with any of its fields; flags override its fields.

The command prints the job's id, with --wait the answer, or with --stream the answer as
it grows; --stream --json prints each event. If an attempt breaks off after the first
word, the next one starts the answer over. stderr says where, and if stdout is not a
terminal the exit code is 15, because stdout then has both. Ctrl-C leaves the job
running, unless --on-disconnect is cancel.

Without --callback-url no webhook is sent, and you have to fetch the answer. While the
server does not respond, is full or is stopping, the job is submitted again under the
same Idempotency-Key. So it is one job, whatever happens.`,
		Example: `  ringback submit --wait "What is a webhook?"
  ringback submit --stream --thinking "Tell me a story."
  ringback submit --model claude-sonnet-5-5 --callback-url https://example.com/hook --file question.txt
  git diff | ringback submit --wait --system "Review this change."
  ringback submit --request request.json --metadata team=blue --param temperature=0.2
  ringback submit --run-at 2h --priority 9 "Good night."
  id=$(ringback submit -q "Summarise …") && ringback jobs watch "$id"`,
		Args:              onePrompt,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVarP(&c.prompt.file, "file", "f", "", "`FILE` read the prompt from this file; - is stdin")
	cmd.Flags().StringVar(&c.prompt.request, "request", "", "`FILE` read a whole request, as JSON, from this file; - is stdin")
	addRequestFlags(cmd.Flags())
	cmd.Flags().StringVar(&c.key, "idempotency-key", "", "`KEY` submissions under the same key are one job; default: a new key")
	cmd.Flags().DurationVar(&c.patience, "retry-for", 30*time.Second, "`DURATION` keep trying this long while the server cannot be reached or cannot accept the job")
	cmd.Flags().BoolVarP(&c.wait, "wait", "w", false, "wait for the job's end and print its answer")
	cmd.Flags().BoolVar(&c.stream, "stream", false, "print the answer as it grows, until the job ends; --json prints each event")
	cmd.Flags().BoolVar(&c.thinking, "thinking", false, "print the model's thinking on stderr, with --stream")
	cmd.Flags().DurationVar(&c.waitTimeout, "wait-timeout", 0, "`DURATION` stop waiting after this long (exit code 13); 0 means no limit")
	terminal.CompleteWords(cmd, map[string][]string{
		"webhook-body":    {string(ringback.WebhookFull), string(ringback.WebhookResult), string(ringback.WebhookThin)},
		"on-disconnect":   {string(ringback.DisconnectContinue), string(ringback.DisconnectCancel)},
		"retry-uncertain": {string(ringback.RetryAlways), string(ringback.RetryNever)},
	})
	return remote.Command(cmd, func(ctx context.Context, s *remote.Session, args []string) error {
		c.prompt.args = args
		r, err := readRequest(cmd.Flags(), c.prompt, s.In, time.Now())
		if err != nil {
			return exit.Errorf(exit.Usage, "%w", err)
		}
		if c.waitTimeout < 0 || c.patience < 0 {
			return exit.Errorf(exit.Usage, "--wait-timeout and --retry-for cannot be negative")
		}
		r.Stream = r.Stream || c.stream
		return submit(ctx, s, c, r)
	})
}

// onePrompt refuses a prompt in several arguments, which lacks quotation marks.
func onePrompt(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return exit.Errorf(exit.Usage, "the prompt is one argument; put quotation marks around it: ringback submit %s", plain.ShellQuote(strings.Join(args, " ")))
	}
	return nil
}

// submit submits a request, and prints its id or waits for its answer.
func submit(ctx context.Context, s *remote.Session, c submission, r ringback.Request) error {
	if r.CallbackURL == "" && r.Events == nil {
		r.Events = &[]ringback.EventType{}
	}
	accepted, err := retryUntil(ctx, s, c, r)
	if err != nil {
		return err
	}
	how := answer.Options{Limit: c.waitTimeout, Events: s.JSON, Thinking: c.thinking, Leaving: answer.GoesOn}
	if r.OnDisconnect == ringback.DisconnectCancel {
		how.Leaving = answer.IsCancelled
	}
	if c.wait || c.stream {
		s.Sayf("job %s is accepted", accepted.JobID)
	}
	switch {
	case c.stream:
		return answer.Show(ctx, s, accepted.JobID, how)
	case c.wait:
		return answer.Await(ctx, s, accepted.JobID, how)
	}
	if s.JSON {
		err = s.PrintJSON(accepted)
	} else {
		err = s.Print(accepted.JobID + "\n")
	}
	if r.CallbackURL == "" {
		s.Sayf("accepted; without --callback-url no webhook is sent. To read the answer later: %s", s.CommandLine("jobs show --result %s", accepted.JobID))
	} else {
		s.Sayf("accepted. To watch it: %s", s.CommandLine("jobs watch %s", accepted.JobID))
	}
	return err
}

// The pauses between submissions of the same request grow from the first to the second.
const (
	firstRetry = 250 * time.Millisecond
	maxRetry   = 5 * time.Second
)

// retryUntil submits a request until the server responds to it, or patience ends. All
// submissions have the same key, so that they make one job.
func retryUntil(ctx context.Context, s *remote.Session, c submission, r ringback.Request) (ringback.Accepted, error) {
	key := c.key
	if key == "" {
		key = uuid.Must(uuid.NewV7()).String()
	}
	begin, told := time.Now(), false
	for wait := firstRetry; ; wait = min(2*wait, maxRetry) {
		accepted, err := s.Submit(ctx, r, client.IdempotencyKey(key))
		switch {
		case err == nil:
			return accepted, nil
		case ctx.Err() != nil:
			return accepted, interrupted(key)
		case !remote.IsTransient(err):
			return accepted, err
		}
		wait = max(wait, retryAfter(err))
		if time.Since(begin)+wait > c.patience {
			return accepted, exit.Errorf(exit.Unavailable, "%w\n%s", s.Explain(ctx, err), safely(key))
		}
		if !told {
			s.Sayf("%v\ntrying again for %s", s.Explain(ctx, err), plain.Span(c.patience))
			told = true
		}
		if backoff.Pause(ctx, wait) != nil {
			return accepted, interrupted(key)
		}
	}
}

func interrupted(key string) error {
	return exit.Errorf(exit.Interrupted, "interrupted before the server responded\n%s", safely(key))
}

// safely returns how to continue if the server may or may not have the job.
func safely(key string) string {
	return fmt.Sprintf("If it is submitted again with --idempotency-key %s, it is one job, even if this one had arrived.", plain.ShellQuote(key))
}

// retryAfter returns the pause that a response asks for, within limits.
func retryAfter(err error) time.Duration {
	e, ok := errors.AsType[*ringback.Error](err)
	if !ok {
		return 0
	}
	return min(time.Duration(e.RetryAfterSeconds)*time.Second, time.Minute)
}
