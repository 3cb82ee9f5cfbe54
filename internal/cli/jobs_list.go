package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
	"github.com/ringback/ringback/internal/terminal"
	"github.com/ringback/ringback/internal/why"
)

// pageSize is the most entries on a page of a list.
const pageSize = 100

func newJobsList() *cobra.Command {
	var q jobQuery
	var n listLength
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
	n.addFlags(cmd.Flags())
	CompleteWords(cmd, map[string][]string{"status": words(ringback.Statuses), "webhook": webhookStates()})
	return remote(cmd, func(ctx context.Context, s *session, _ []string) error {
		query, err := q.read(time.Now())
		if err == nil {
			err = n.check()
		}
		if err != nil {
			return exit.Errorf(exit.Usage, "%w", err)
		}
		return s.listJobs(ctx, query, n)
	})
}

// webhookStates are the states of a job's webhook.
func webhookStates() []string {
	return append(words(ringback.DeliveryStatuses), string(ringback.NoDelivery))
}

// jobQuery is the flags of a client.Query.
type jobQuery struct {
	status, model, webhook, after, before string
	metadata                              []string
}

func (q *jobQuery) addFlags(flags *pflag.FlagSet, withStatus bool) {
	if withStatus {
		flags.StringVar(&q.status, "status", "", "`STATUS` only jobs with this status: "+strings.Join(words(ringback.Statuses), ", "))
		flags.StringVar(&q.webhook, "webhook", "", "`STATUS` only jobs whose webhook has this status: "+strings.Join(webhookStates(), ", "))
	}
	flags.StringVar(&q.model, "model", "", "`MODEL` only jobs that requested this model or were answered by it")
	flags.StringArrayVar(&q.metadata, "metadata", nil, "`KEY=VALUE` only jobs whose metadata has this; repeat it")
	flags.StringVar(&q.after, "created-after", "", "`TIME` only jobs accepted after this: RFC 3339, or how long ago: 90m, 36h")
	flags.StringVar(&q.before, "created-before", "", "`TIME` only jobs accepted before this")
}

func (q *jobQuery) read(now time.Time) (client.Query, error) {
	query := client.Query{Status: ringback.Status(q.status), Model: q.model, Webhook: ringback.DeliveryStatus(q.webhook)}
	var err error
	if query.Metadata, err = keyValues("metadata", q.metadata); err != nil {
		return query, err
	}
	after, err := past("created-after", q.after, now)
	if err != nil {
		return query, err
	}
	before, err := past("created-before", q.before, now)
	query.CreatedAfter, query.CreatedBefore = after.Time, before.Time
	return query, err
}

// past parses a time, or a duration before now. It returns the zero time for "".
func past(flag, text string, now time.Time) (ringback.Time, error) {
	if text == "" {
		return ringback.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return ringback.Time{Time: now.Add(-d)}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return ringback.Time{}, fmt.Errorf("--%s: %q is neither a time like 2026-11-23T09:00:00Z nor a span like 90m, which is 90 minutes ago", flag, text)
	}
	return ringback.Time{Time: t}, nil
}

func keyValues(flag string, pairs []string) (map[string]string, error) {
	var all map[string]string
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("--%s: %q is not like key=value", flag, pair)
		}
		if all == nil {
			all = map[string]string{}
		}
		all[key] = value
	}
	return all, nil
}

// listLength is how much of a list to print.
type listLength struct {
	limit int
	all   bool
}

func (n *listLength) addFlags(flags *pflag.FlagSet) {
	flags.IntVarP(&n.limit, "limit", "n", 20, "`N` show at most this many")
	flags.BoolVar(&n.all, "all", false, "list all of them, however many")
}

func (n *listLength) check() error {
	if n.limit < 1 {
		return fmt.Errorf("--limit: %d is not a number from 1 on; --all lists all", n.limit)
	}
	return nil
}

// listed reads a list page by page and passes each page to show, until enough entries have
// been shown. It returns their number, and whether there are more.
func listed[T any](n listLength, page func(limit int, cursor string) (ringback.Page[T], error), show func([]T) error) (int, bool, error) {
	shown, cursor := 0, ""
	for {
		limit := pageSize
		if !n.all {
			limit = min(limit, n.limit-shown)
		}
		p, err := page(limit, cursor)
		if err != nil {
			return shown, false, err
		}
		if err := show(p.Data); err != nil {
			return shown, false, err
		}
		shown += len(p.Data)
		switch {
		case p.NextCursor == nil:
			return shown, false, nil
		case !n.all && shown >= n.limit:
			return shown, true, nil
		}
		cursor = *p.NextCursor
	}
}

func (s *session) listJobs(ctx context.Context, q client.Query, n listLength) error {
	t := s.jobTable()
	shown, more, err := listed(n, func(limit int, cursor string) (ringback.Page[ringback.Job], error) {
		q.Limit, q.Cursor = limit, cursor
		return s.List(ctx, q)
	}, s.showJobs(t))
	switch {
	case err != nil:
		return err
	case shown == 0:
		s.Sayf("no job matches; submit one: %s", s.ours("submit --wait \"What is a webhook?\""))
	case more:
		s.Sayf("%d shown, there are more: --limit or --all", shown)
	}
	return nil
}

// jobTable returns a table of jobs without rows.
func (s *session) jobTable() *terminal.Table {
	t := &terminal.Table{Title: []string{"JOB", "STATUS", "MODEL", "AGE", "TOOK", "WEBHOOK", "WHY"}}
	t.Paint = func(column int, cell string) string {
		if column == 1 || column == 5 {
			return terminal.StatusPaint(s.Paint(), cell)
		}
		return cell
	}
	return t
}

// showJobs prints a page of jobs.
func (s *session) showJobs(t *terminal.Table) func([]ringback.Job) error {
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
