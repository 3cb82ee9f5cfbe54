package dead

import (
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/cli/jobs"
	"github.com/ringback/ringback/internal/cli/remote"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
)

func newReplay() *cobra.Command {
	var f filterFlags
	var patch string
	var all, again, noWait bool
	cmd := &cobra.Command{
		Use:   "replay (ID... | FILTERS | --kind KIND --all) [FLAGS]",
		Short: "Repeat dead jobs, or send dead deliveries again",
		Long: `Repeat dead jobs as new jobs, or send dead deliveries again: some by their ids,
or all that match the filters. --patch changes the requests of the repeated jobs, as
with "ringback jobs retry". Replaying a job calls its provider, which costs money;
replaying a delivery does not.

Deliveries are sent now, even to a host that is held: one of them is its probe, and if
that succeeds, the others follow at once. The command waits for the outcome and prints
it. The exit code is 1 if some did not arrive.

Ctrl-C stops after the current part and prints how far it got; run the same command
again for the rest. Letters that cannot be replayed, or whose state has changed, are
skipped.`,
		Example: `  ringback dead replay 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d
  ringback dead replay --host https://example.com
  ringback dead replay --model claude-sonnet-4-5 --patch '{"model": "claude-sonnet-5-5"}'
  ringback dead replay --kind job --all`,
		ValidArgsFunction: complete(),
	}
	f.addFlags(cmd.Flags())
	completeFilter(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "select all of --kind, without a filter")
	cmd.Flags().StringVarP(&patch, "patch", "p", "", "`JSON|@FILE` a JSON merge patch on the requests of jobs")
	cmd.Flags().BoolVarP(&again, "yes", "y", false, "do not ask before repeating a job that was repeated before")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "do not wait for the outcome of deliveries")
	return remote.Command(cmd, func(ctx context.Context, s *remote.Session, ids []string) error {
		change, err := jobs.ReadPatch(patch)
		if err != nil {
			return err
		}
		action, err := f.action(ids, all, time.Now())
		if err != nil {
			return exit.Errorf(exit.Usage, "%w", err)
		}
		if len(ids) > 0 {
			return s.Each(ctx, ids, func(ctx context.Context, id string) error { return replayOne(ctx, s, id, change, again, noWait) })
		}
		if change != nil && action.Kind == ringback.DeadDelivery {
			return exit.Errorf(exit.Usage, "--patch changes the requests of jobs; the bytes of a delivery stay the same")
		}
		action.Patch = change
		verb := replaying
		if action.Kind == ringback.DeadDelivery && !noWait {
			verb.outcome = replayed
		}
		return inParts(ctx, s, action, verb)
	})
}

// replayOne replays one dead letter of either kind.
func replayOne(ctx context.Context, s *remote.Session, id string, patch json.RawMessage, again, noWait bool) error {
	dead, err := find(ctx, s, id)
	switch {
	case err != nil:
		return err
	case dead.kind == ringback.DeadJob:
		return jobs.Replay(ctx, s, dead.job, patch, again)
	case patch != nil:
		return exit.Errorf(exit.Usage, "%s is a delivery, whose bytes stay the same; leave --patch out", plain.Printable(id))
	}
	return jobs.Redeliver(ctx, s, dead.job, jobs.Redelivery{To: dead.url, NoWait: noWait})
}
