package jobs

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/cli/remote"
)

func newCancel() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cancel JOB... [FLAGS]",
		Short: "End waiting or running jobs",
		Long: `End jobs. A waiting job ends at once. For a running job the provider call is aborted: the
job may show as running for a moment, or complete if its whole answer arrived first. Its
webhook has the type job.cancelled.`,
		Example:           `  ringback jobs cancel 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d`,
		Args:              remote.IDs(1, 0, "job", "ringback jobs list"),
		ValidArgsFunction: complete(alive),
	}
	return remote.Command(cmd, func(ctx context.Context, s *remote.Session, ids []string) error {
		return s.Each(ctx, ids, func(ctx context.Context, id string) error { return cancel(ctx, s, id) })
	})
}

func cancel(ctx context.Context, s *remote.Session, id string) error {
	job, err := s.Cancel(ctx, id)
	if err != nil {
		return err
	}
	if job.Status == ringback.Cancelled {
		s.Sayf("job %s is cancelled", job.ID)
	} else {
		s.Sayf("job %s is %s; its call is being aborted. To see how it ends: %s", job.ID, job.Status, s.CommandLine("jobs watch %s", job.ID))
	}
	if s.JSON {
		return s.PrintJSON(job)
	}
	return s.Print(job.ID + "\n")
}
