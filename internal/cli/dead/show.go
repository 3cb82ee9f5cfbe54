package dead

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback/internal/cli/jobs"
	"github.com/ringback/ringback/internal/cli/remote"
)

func newShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show ID [FLAGS]",
		Short: "Show a dead letter: its job with all attempts and tries",
		Long: `Show the job of a dead letter, as "ringback jobs show" does: why it died, what happened,
and the commands that fix it. ID is the id of a dead job or of a dead delivery.`,
		Example:           `  ringback dead show 0193c1a7-5e6f-7a8b-a1b2-c3d4e5f60718`,
		Args:              remote.IDs(1, 1, "dead letter", "ringback dead list"),
		ValidArgsFunction: complete(),
	}
	return remote.Command(cmd, func(ctx context.Context, s *remote.Session, args []string) error {
		dead, err := find(ctx, s, args[0])
		if err != nil {
			return err
		}
		return jobs.Show(ctx, s, dead.job)
	})
}
