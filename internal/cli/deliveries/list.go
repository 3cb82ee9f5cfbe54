package deliveries

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
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
)

func newList() *cobra.Command {
	var f queryFlags
	var n remote.Length
	cmd := &cobra.Command{
		Use:   "list [FLAGS]",
		Short: "List webhooks, newest first",
		Long: `List webhooks, newest first, as a table, or with --json as one delivery per line with
its tries. AGE is the time since the job ended. LAST is the receiver's last status code,
or why there was none: dns, connect, refused, reset, tls, timeout, blocked. NEXT is the
time until the next try. "ringback jobs show JOB" explains one, and what to do.

To send everything that is pending for a host now, pass the ids to "jobs redeliver", as
in the last example.`,
		Example: `  ringback deliveries list --status pending
  ringback deliveries list --status pending --host https://example.com --older-than 10m
  ringback deliveries list --code 5xx --all --json | jq -r .url | sort | uniq -c
  ringback deliveries list --status pending --host https://example.com --all --json |
    jq -r .job_id | xargs ringback jobs redeliver`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.addFlags(cmd.Flags())
	n.AddFlags(cmd.Flags())
	terminal.CompleteWords(cmd, map[string][]string{"status": remote.Words(ringback.DeliveryStatuses), "code": {"4xx", "5xx", "none"}})
	return remote.Command(cmd, func(ctx context.Context, s *remote.Session, _ []string) error {
		query, err := f.read(time.Now())
		if err == nil {
			err = n.Check()
		}
		if err != nil {
			return exit.Errorf(exit.Usage, "%w", err)
		}
		return list(ctx, s, query, n)
	})
}

// queryFlags is the flags of a client.DeliveryQuery.
type queryFlags struct {
	status, host, code, job, olderThan, after, before string
}

func (f *queryFlags) addFlags(flags *pflag.FlagSet) {
	flags.SortFlags = false
	flags.StringVar(&f.status, "status", "", "`STATUS` only webhooks with this status: "+strings.Join(remote.Words(ringback.DeliveryStatuses), ", "))
	flags.StringVar(&f.host, "host", "", "`HOST` only webhooks to this receiver: https://example.com, with the port if it is not the default one")
	flags.StringVar(&f.olderThan, "older-than", "", "`DURATION` only webhooks that have not arrived for this long, such as 90s, 10m or 36h")
	flags.StringVar(&f.code, "code", "", "`CODE` only webhooks whose last response had this status code: 503, 5xx, or none for no response")
	flags.StringVar(&f.job, "job", "", "`JOB` only webhooks of this job")
	flags.StringVar(&f.after, "created-after", "", "`TIME` only webhooks of events after this: RFC 3339, or how long ago: 90m, 36h")
	flags.StringVar(&f.before, "created-before", "", "`TIME` only webhooks of events before this")
}

func (f *queryFlags) read(now time.Time) (client.DeliveryQuery, error) {
	q := client.DeliveryQuery{Status: ringback.DeliveryStatus(f.status), Host: f.host, StatusCode: f.code, Job: f.job}
	if q.Status != "" && !slices.Contains(ringback.DeliveryStatuses, q.Status) {
		return q, fmt.Errorf("--status: %q is not one of %s", f.status, strings.Join(remote.Words(ringback.DeliveryStatuses), ", "))
	}
	if f.olderThan != "" {
		var err error
		if q.OlderThan, err = time.ParseDuration(f.olderThan); err != nil || q.OlderThan < 0 {
			return q, fmt.Errorf("--older-than: %q is not a duration like 90s, 10m or 36h", f.olderThan)
		}
	}
	after, err := remote.Past("created-after", f.after, now)
	if err != nil {
		return q, err
	}
	before, err := remote.Past("created-before", f.before, now)
	q.CreatedAfter, q.CreatedBefore = after.Time, before.Time
	return q, err
}

func list(ctx context.Context, s *remote.Session, q client.DeliveryQuery, n remote.Length) error {
	undelivered := 0
	show := showPage(s)
	shown, more, err := remote.EachPage(n, func(limit int, cursor string) (ringback.Page[ringback.Delivery], error) {
		q.Limit, q.Cursor = limit, cursor
		return s.ListDeliveries(ctx, q)
	}, func(page []ringback.Delivery) error {
		for _, d := range page {
			if d.Status != ringback.DeliveryDelivered {
				undelivered++
			}
		}
		return show(page)
	})
	if err != nil {
		return err
	}
	s.SayMore(shown, more, "webhooks")
	switch {
	case shown == 0:
		s.Sayf("no webhook matches")
	case undelivered > 0 && !s.JSON:
		s.Sayf("to see why one has not arrived: %s; to send it now: %s", s.CommandLine("jobs show JOB"), s.CommandLine("jobs redeliver JOB"))
	}
	return nil
}

func showPage(s *remote.Session) func([]ringback.Delivery) error {
	t := &terminal.Table{Title: []string{"JOB", "STATUS", "AGE", "TRIES", "LAST", "NEXT", "TO"}}
	t.Paint = func(column int, cell string) string {
		if column == 1 {
			return terminal.StatusPaint(s.Paint(), cell)
		}
		return cell
	}
	return func(deliveries []ringback.Delivery) error {
		now := time.Now()
		for _, d := range deliveries {
			if !s.JSON {
				t.Row(d.JobID, string(d.Status), plain.Span(now.Sub(d.CreatedAt.Time)), strconv.Itoa(len(d.Tries)), lastAnswer(d), untilNext(d, now), receiverOf(d.URL))
			} else if err := s.PrintJSON(d); err != nil {
				return err
			}
		}
		return t.Flush(s.Out, s.OutTo.Width)
	}
}

// lastAnswer returns the status code of a receiver's last response, or why there was none.
func lastAnswer(d ringback.Delivery) string {
	switch {
	case d.LastStatusCode != 0:
		return strconv.Itoa(d.LastStatusCode)
	case d.LastError != "":
		return string(d.LastError)
	}
	return "–"
}

func untilNext(d ringback.Delivery, now time.Time) string {
	switch {
	case d.Status != ringback.DeliveryPending:
		return "–"
	case d.NextTryAt.After(now):
		return plain.Span(d.NextTryAt.Sub(now))
	}
	return "now"
}

// receiverOf returns a URL's host and port. Its path may contain a secret.
func receiverOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return "–"
	}
	return u.Host
}
