package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/cli/answer"
	"github.com/ringback/ringback/internal/cli/remote"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
	"github.com/ringback/ringback/internal/why"
)

func newWatch() *cobra.Command {
	var q queryFlags
	var delivered, forever, events, thinking bool
	cmd := &cobra.Command{
		Use:   "watch [JOB...] [FLAGS]",
		Short: "Follow a job's answer as it grows, or many jobs until they end",
		Long: `Watch jobs until they end. For a single job, stdout gets the answer: as it grows, if the
job was submitted with "stream", otherwise when it ends. stderr gets a line for each
change. If an attempt breaks off after the first word, the next one starts the answer
over. stderr says where, and if stdout is not a terminal the exit code is 15, because
stdout then has both. You can start late or again and get the same text. --events prints
each event as JSON.

For several jobs, or with --delivered, it prints a line for each change; --json prints the
job at each change, also for a single job. Without ids it watches the jobs that are waiting
or running, the newest 100 of each, and those submitted meanwhile; the filters select among
them. With --delivered it watches each job until its webhook is delivered or dead, and
without ids also jobs that have ended and whose webhook is pending.

The exit code is 10 if a named job ended without an answer, otherwise with --delivered 1 if
its webhook is dead. While the server is down, the command keeps trying.`,
		Example: `  ringback jobs watch 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d
  ringback jobs watch --delivered 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d
  ringback jobs watch --forever --metadata team=blue`,
		ValidArgsFunction: complete(alive),
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().BoolVar(&events, "events", false, "for one job: print each event, one JSON object per line")
	cmd.Flags().BoolVar(&thinking, "thinking", false, "for one job: print the model's thinking on stderr")
	cmd.Flags().BoolVar(&delivered, "delivered", false, "watch jobs until their webhooks are delivered or dead")
	cmd.Flags().BoolVar(&forever, "forever", false, "without ids: keep watching when no jobs are left, until Ctrl-C")
	q.addFlags(cmd.Flags(), false)
	return remote.Command(cmd, func(ctx context.Context, s *remote.Session, ids []string) error {
		query, err := q.read(time.Now())
		if err != nil {
			return exit.Errorf(exit.Usage, "%w", err)
		}
		if events && (len(ids) != 1 || delivered) {
			return exit.Errorf(exit.Usage, "--events is for one job, and ends with it: name one, without --delivered")
		}
		if len(ids) == 1 && !delivered && (events || !s.JSON) {
			s.JSON = s.JSON || events // nothing but events is said
			return answer.Show(ctx, s, ids[0], answer.Options{Events: events, Thinking: thinking, Leaving: answer.MayGoOn})
		}
		w := &watcher{Session: s, delivered: delivered, last: map[string]string{}}
		if len(ids) > 0 {
			return w.named(ctx, ids)
		}
		s.Sayf("no job is named; watching all that are waiting or running%s", w.orPending(", or whose webhook is pending"))
		return w.recent(ctx, query, forever)
	})
}

// watchEvery is the time between two polls.
const watchEvery = 500 * time.Millisecond

// watcher follows jobs.
type watcher struct {
	*remote.Session

	delivered bool              // until their webhook has ended, too
	last      map[string]string // the status of each job at the last poll
	away      bool              // the server did not answer the last poll
}

// named follows some jobs until all have ended.
func (w *watcher) named(ctx context.Context, ids []string) error {
	unanswered, lost := 0, 0
	for left := slices.Clone(ids); len(left) > 0; {
		var rest []string
		for _, id := range left {
			over, job, err := w.look(ctx, id)
			switch {
			case err != nil:
				return w.stopped(ctx, err)
			case !over:
				rest = append(rest, id)
			case job.Status != ringback.Completed:
				unanswered++
			case w.delivered && job.Webhook != nil && job.Webhook.Status == ringback.DeliveryDead:
				lost++
			}
		}
		if left = rest; len(left) == 0 {
			break
		}
		if err := backoff.Pause(ctx, watchEvery); err != nil {
			return w.stopped(ctx, err)
		}
	}
	switch {
	case unanswered == 0 && lost == 0:
		return nil
	case unanswered == 0 && len(ids) == 1:
		return exit.Errorf(exit.Failure, "its webhook is a dead letter. What to do: %s", w.CommandLine("jobs show %s", plain.OneLine(ids[0])))
	case unanswered == 0:
		return exit.Errorf(exit.Failure, "the webhooks of %d of %d are dead letters. What to do: %s", lost, len(ids), w.CommandLine("jobs show JOB"))
	case len(ids) == 1:
		return exit.Errorf(exit.JobEnded, "it ended without an answer. What to do: %s", w.CommandLine("jobs show %s", plain.OneLine(ids[0])))
	}
	return exit.Errorf(exit.JobEnded, "%d of %d ended without an answer. What to do: %s", unanswered, len(ids), w.CommandLine("jobs show JOB"))
}

// look reads a job and prints its status if that is new. It returns true if nothing more can
// happen to it.
func (w *watcher) look(ctx context.Context, id string) (bool, ringback.Job, error) {
	job, err := w.Get(ctx, id)
	if err != nil {
		return false, job, w.missed(ctx, err)
	}
	w.away = false
	over := job.Status.Terminal() && (!w.delivered || job.Webhook == nil || job.Webhook.Status != ringback.DeliveryPending)
	return over, job, w.report(job)
}

// missed prints once that the server is unreachable. It returns other errors.
func (w *watcher) missed(ctx context.Context, err error) error {
	if ctx.Err() != nil || !remote.IsTransient(err) {
		return err
	}
	if !w.away {
		w.Sayf("%v\nretrying", w.Explain(ctx, err))
	}
	w.away = true
	return nil
}

func (w *watcher) stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return exit.Errorf(exit.Interrupted, "interrupted; the jobs go on")
	}
	return err
}

// report prints the status of a job if it has changed.
func (w *watcher) report(job ringback.Job) error {
	state := fmt.Sprint(job.Status, job.StatusReason, job.Attempts, job.Webhook)
	if w.last[job.ID] == state {
		return nil
	}
	w.last[job.ID] = state
	if w.JSON {
		return w.PrintJSON(job)
	}
	now := time.Now()
	what := why.Status(job, now)
	if job.Status.Terminal() && job.Status != ringback.Completed {
		what = why.NoAnswer(job)
	}
	if job.Webhook != nil {
		what += " · webhook " + why.Webhook(*job.Webhook, now)
	}
	return w.Print(fmt.Sprintf("%s  %s  %s\n", w.Paint().Dim(now.Format(time.TimeOnly)), job.ID, plain.OneLine(what)))
}

// recent follows the jobs that wait or run, and new ones.
func (w *watcher) recent(ctx context.Context, q client.Query, forever bool) error {
	followed := map[string]bool{}
	for first := true; ; first = false {
		if err := w.sweep(ctx, q, followed); err != nil {
			return w.stopped(ctx, err)
		}
		if len(followed) == 0 && !forever && !w.away {
			if first {
				w.Sayf("no job is waiting or running%s; to list those that have ended: %s", w.orPending(", and no webhook is pending"), w.CommandLine("jobs list"))
			}
			return nil
		}
		if err := backoff.Pause(ctx, watchEvery); err != nil {
			return w.stopped(ctx, err)
		}
	}
}

// orPending returns what to add about jobs that are followed to their delivery.
func (w *watcher) orPending(words string) string {
	if !w.delivered {
		return ""
	}
	return words
}

// sweep looks at the followed jobs and at new ones.
func (w *watcher) sweep(ctx context.Context, q client.Query, followed map[string]bool) error {
	looks := []client.Query{{Status: ringback.Queued}, {Status: ringback.Running}}
	if w.delivered {
		looks = append(looks, client.Query{Webhook: ringback.DeliveryPending})
	}
	for _, look := range looks {
		q.Status, q.Webhook, q.Limit = look.Status, look.Webhook, remote.PageSize
		page, err := w.List(ctx, q)
		if err = w.missedOr(ctx, err); err != nil {
			return err
		}
		for _, job := range page.Data {
			followed[job.ID] = true
		}
	}
	for id := range followed {
		over, _, err := w.look(ctx, id)
		if e, ok := errors.AsType[*ringback.Error](err); ok && (e.Code == ringback.NotFound || e.Code == ringback.Gone) {
			over, err = true, nil
		}
		if err != nil {
			return err
		}
		if over {
			delete(followed, id)
		}
	}
	return nil
}

func (w *watcher) missedOr(ctx context.Context, err error) error {
	if err == nil {
		w.away = false
		return nil
	}
	return w.missed(ctx, err)
}
