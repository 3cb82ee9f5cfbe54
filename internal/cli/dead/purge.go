package dead

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/cli/jobs"
	"github.com/ringback/ringback/internal/cli/remote"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
	"github.com/ringback/ringback/internal/terminal"
)

func newPurge() *cobra.Command {
	var f filterFlags
	var all, yes bool
	cmd := &cobra.Command{
		Use:   "purge (JOB... | FILTERS | --kind KIND --all) [FLAGS]",
		Short: "Delete the content of dead letters for good",
		Long: `Delete dead letters: some dead jobs by their ids, or all letters that match the filters.
A job loses its content, as with "ringback jobs erase"; a delivery loses its bytes, and
its job stays. This cannot be undone, so the command asks first; a script needs --yes.

Ctrl-C stops after the current part and prints how far it got.`,
		Example: `  ringback dead purge --kind delivery --all
  ringback dead purge --code provider_rejected --ended-before 168h --yes`,
		ValidArgsFunction: complete(),
	}
	f.addFlags(cmd.Flags())
	completeFilter(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "select all of --kind, without a filter")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return remote.Command(cmd, func(ctx context.Context, s *remote.Session, ids []string) error {
		action, err := f.action(ids, all, time.Now())
		if err != nil {
			return exit.Errorf(exit.Usage, "%w", err)
		}
		if len(ids) > 0 {
			if err := s.Confirm(yes, fmt.Sprintf("Delete request and answer of %d dead jobs for good?", len(ids)), remote.Irreversible); err != nil {
				return err
			}
			return s.Each(ctx, ids, func(ctx context.Context, id string) error { return purgeOne(ctx, s, id) })
		}
		question, err := purgeQuestion(ctx, s, action, yes)
		if err != nil {
			return err
		}
		if err := s.Confirm(yes, question, remote.Irreversible); err != nil {
			return err
		}
		return inParts(ctx, s, action, purging)
	})
}

// purgeOne erases a dead job. A single delivery cannot be purged: its bytes belong to its
// job.
func purgeOne(ctx context.Context, s *remote.Session, id string) error {
	dead, err := find(ctx, s, id)
	switch {
	case err != nil:
		return err
	case dead.kind == ringback.DeadDelivery:
		return exit.Errorf(exit.Usage, "%s is a delivery; to delete it with its job: %s", plain.Printable(id), s.CommandLine("jobs erase %s", dead.job))
	}
	return jobs.Erase(ctx, s, dead.job)
}

// purgeQuestion asks about how many will be deleted.
func purgeQuestion(ctx context.Context, s *remote.Session, a ringback.DeadAction, yes bool) (string, error) {
	if yes || !terminal.Interactive(s.In) {
		return "", nil // nobody is asked
	}
	q := client.DeadQuery{DeadFilter: a.DeadFilter, Limit: remote.PageSize}
	var count int
	var more bool
	if a.Kind == ringback.DeadDelivery {
		page, err := s.DeadDeliveries(ctx, q)
		if err != nil {
			return "", err
		}
		count, more = len(page.Data), page.NextCursor != nil
	} else {
		page, err := s.DeadJobs(ctx, q)
		if err != nil {
			return "", err
		}
		count, more = len(page.Data), page.NextCursor != nil
	}
	what := plural(a.Kind)
	if count == 1 {
		what = string(a.Kind)
	}
	number := strconv.Itoa(count)
	if more {
		number = "more than " + number
	}
	return fmt.Sprintf("Delete %s dead %s for good?", number, what), nil
}
