package jobs

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/cli/remote"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
	"github.com/ringback/ringback/internal/terminal"
	"github.com/ringback/ringback/internal/why"
)

func newList() *cobra.Command {
	var q queryFlags
	var n remote.Length
	cmd := &cobra.Command{
		Use:   "list [FLAGS]",
		Short: "List jobs, newest first",
		Long: `List jobs, newest first, as a table, or with --json as one job per line, without answers.
WEBHOOK is the state of the job's webhook. The last column shows why a job waits, why it
ended without an answer, or why its webhook has not arrived.`,
		Example: `  ringback jobs list
  ringback jobs list --webhook pending
  ringback jobs list --status failed --created-after 24h --all
  ringback jobs list --metadata team=blue --json | jq -r .job_id`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().SortFlags = false
	q.addFlags(cmd.Flags(), true)
	n.AddFlags(cmd.Flags())
	terminal.CompleteWords(cmd, map[string][]string{"status": remote.Words(ringback.Statuses), "webhook": webhookStates()})
	return remote.Command(cmd, func(ctx context.Context, s *remote.Session, _ []string) error {
		query, err := q.read(time.Now())
		if err == nil {
			err = n.Check()
		}
		if err != nil {
			return exit.Errorf(exit.Usage, "%w", err)
		}
		return list(ctx, s, query, n)
	})
}

// webhookStates are the states of a job's webhook.
func webhookStates() []string {
	return append(remote.Words(ringback.DeliveryStatuses), string(ringback.NoDelivery))
}

// queryFlags is the flags of a client.Query.
type queryFlags struct {
	status, model, webhook, after, before string
	metadata                              []string
}

func (q *queryFlags) addFlags(flags *pflag.FlagSet, withStatus bool) {
	if withStatus {
		flags.StringVar(&q.status, "status", "", "`STATUS` only jobs with this status: "+strings.Join(remote.Words(ringback.Statuses), ", "))
		flags.StringVar(&q.webhook, "webhook", "", "`STATUS` only jobs whose webhook has this status: "+strings.Join(webhookStates(), ", "))
	}
	flags.StringVar(&q.model, "model", "", "`MODEL` only jobs that requested this model or were answered by it")
	flags.StringArrayVar(&q.metadata, "metadata", nil, "`KEY=VALUE` only jobs whose metadata has this; repeat it")
	flags.StringVar(&q.after, "created-after", "", "`TIME` only jobs accepted after this: RFC 3339, or how long ago: 90m, 36h")
	flags.StringVar(&q.before, "created-before", "", "`TIME` only jobs accepted before this")
}

func (q *queryFlags) read(now time.Time) (client.Query, error) {
	query := client.Query{Status: ringback.Status(q.status), Model: q.model, Webhook: ringback.DeliveryStatus(q.webhook)}
	var err error
	if query.Metadata, err = remote.KeyValues("metadata", q.metadata); err != nil {
		return query, err
	}
	after, err := remote.Past("created-after", q.after, now)
	if err != nil {
		return query, err
	}
	before, err := remote.Past("created-before", q.before, now)
	query.CreatedAfter, query.CreatedBefore = after.Time, before.Time
	return query, err
}

func list(ctx context.Context, s *remote.Session, q client.Query, n remote.Length) error {
	t := table(s)
	shown, more, err := remote.EachPage(n, func(limit int, cursor string) (ringback.Page[ringback.Job], error) {
		q.Limit, q.Cursor = limit, cursor
		return s.List(ctx, q)
	}, showPage(s, t))
	switch {
	case err != nil:
		return err
	case shown == 0:
		s.Sayf("no job matches; submit one: %s", s.CommandLine("submit --wait \"What is a webhook?\""))
	case more:
		s.Sayf("%d shown, there are more: --limit or --all", shown)
	}
	return nil
}

// table returns a table of jobs without rows.
func table(s *remote.Session) *terminal.Table {
	t := &terminal.Table{Title: []string{"JOB", "STATUS", "MODEL", "AGE", "TOOK", "WEBHOOK", "WHY"}}
	t.Paint = func(column int, cell string) string {
		if column == 1 || column == 5 {
			return terminal.StatusPaint(s.Paint(), cell)
		}
		return cell
	}
	return t
}

// showPage prints a page of jobs.
func showPage(s *remote.Session, t *terminal.Table) func([]ringback.Job) error {
	return func(jobs []ringback.Job) error {
		now := time.Now()
		for _, job := range jobs {
			if !s.JSON {
				t.Row(job.ID, string(job.Status), job.RequestedModel, plain.Span(now.Sub(job.CreatedAt.Time)), took(job), webhookWord(job), why.Short(job, now))
			} else if err := s.PrintJSON(job); err != nil {
				return err
			}
		}
		return t.Flush(s.Out, s.OutTo.Width)
	}
}

func took(job ringback.Job) string {
	if job.EndedAt.IsZero() {
		return "–"
	}
	return plain.Span(job.EndedAt.Sub(job.CreatedAt.Time))
}

func webhookWord(job ringback.Job) string {
	if job.Webhook == nil {
		return "–"
	}
	return string(job.Webhook.Status)
}
