package dead

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/cli/remote"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
	"github.com/ringback/ringback/internal/terminal"
	"github.com/ringback/ringback/internal/why"
)

func newList() *cobra.Command {
	var f filterFlags
	var n remote.Length
	cmd := &cobra.Command{
		Use:   "list [FLAGS]",
		Short: "List dead letters, newest first",
		Long: `List dead letters, newest first: those of one kind, or without --kind first jobs, then
deliveries, up to --limit of each. --json prints one per line, with its kind.`,
		Example: `  ringback dead list
  ringback dead list --code timeout --created-after 24h
  ringback dead list --kind delivery --json | jq -r .url | sort | uniq -c`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.addFlags(cmd.Flags())
	n.AddFlags(cmd.Flags())
	completeFilter(cmd)
	return remote.Command(cmd, func(ctx context.Context, s *remote.Session, _ []string) error {
		filter, err := f.read(time.Now())
		if err == nil {
			err = n.Check()
		}
		if err != nil {
			return exit.Errorf(exit.Usage, "%w", err)
		}
		return list(ctx, s, filter, n)
	})
}

func list(ctx context.Context, s *remote.Session, f ringback.DeadFilter, n remote.Length) error {
	q := client.DeadQuery{DeadFilter: f}
	total := 0
	if f.Kind != ringback.DeadDelivery {
		shown, more, err := remote.EachPage(n, func(limit int, cursor string) (ringback.Page[ringback.Job], error) {
			q.Limit, q.Cursor = limit, cursor
			return s.DeadJobs(ctx, q)
		}, showJobs(s))
		if err != nil {
			return err
		}
		s.SayMore(shown, more, "dead jobs")
		total += shown
	}
	if f.Kind != ringback.DeadJob {
		page := func(limit int, cursor string) (ringback.Page[ringback.Delivery], error) {
			q.Limit, q.Cursor = limit, cursor
			return s.DeadDeliveries(ctx, q)
		}
		shown, more, err := remote.EachPage(n, page, showDeliveries(s, total > 0))
		if err != nil {
			return err
		}
		s.SayMore(shown, more, "dead deliveries")
		total += shown
	}
	if total == 0 {
		s.Sayf("no dead letter matches")
	}
	return nil
}

func showJobs(s *remote.Session) func([]ringback.Job) error {
	t := &terminal.Table{Title: []string{"DEAD JOB", "MODEL", "DIED", "ATTEMPTS", "WHY"}}
	return func(jobs []ringback.Job) error {
		now := time.Now()
		for _, job := range jobs {
			if !s.JSON {
				t.Row(job.ID, job.RequestedModel, plain.Span(now.Sub(job.EndedAt.Time))+" ago", strconv.Itoa(job.Attempts), why.Short(job, now))
				continue
			}
			err := s.PrintJSON(struct {
				Kind ringback.DeadKind `json:"kind"`
				ringback.Job
			}{ringback.DeadJob, job})
			if err != nil {
				return err
			}
		}
		return t.Flush(s.Out, s.OutTo.Width)
	}
}

// showDeadDeliveries prints them, after an empty line if something was printed.
func showDeliveries(s *remote.Session, after bool) func([]ringback.Delivery) error {
	t := &terminal.Table{Title: []string{"DEAD DELIVERY", "JOB", "TO", "DIED", "TRIES", "WHY"}}
	return func(deliveries []ringback.Delivery) error {
		now := time.Now()
		if after && len(deliveries) > 0 && !s.JSON {
			after = false
			if err := s.Print("\n"); err != nil {
				return err
			}
		}
		for _, d := range deliveries {
			if !s.JSON {
				reason := why.Dead(d.Reason)
				if n := len(d.Tries); n > 0 {
					reason += "; the last " + why.Try(d.Tries[n-1])
				}
				t.Row(d.ID, d.JobID, plain.HostOf(d.URL), plain.Span(now.Sub(d.EndedAt.Time))+" ago", strconv.Itoa(len(d.Tries)), reason)
				continue
			}
			err := s.PrintJSON(struct {
				Kind ringback.DeadKind `json:"kind"`
				ringback.Delivery
			}{ringback.DeadDelivery, d})
			if err != nil {
				return err
			}
		}
		return t.Flush(s.Out, s.OutTo.Width)
	}
}
