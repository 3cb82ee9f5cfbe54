package jobs

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback/internal/cli/remote"
	"github.com/ringback/ringback/internal/plain"
)

func newErase() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "erase JOB... [FLAGS]",
		Short: "Delete the content of jobs that have ended",
		Long: `Delete the content of jobs that have ended: request, answer, metadata, callback URL and
headers, and the webhook's bytes. A webhook that was not delivered yet is no longer sent.
The rest (id, state, times, model, usage) stays for 30 days and shows that the job was
erased. This cannot be undone, so the command asks first; a script needs --yes.`,
		Example:           `  ringback jobs erase 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d --yes`,
		Args:              remote.IDs(1, 0, "job", "ringback jobs list"),
		ValidArgsFunction: complete(ended),
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return remote.Command(cmd, func(ctx context.Context, s *remote.Session, ids []string) error {
		what := "job " + plain.Printable(ids[0])
		if len(ids) > 1 {
			what = fmt.Sprintf("%d jobs", len(ids))
		}
		if err := s.Confirm(yes, "Delete request and answer of "+what+" for good?", remote.Irreversible); err != nil {
			return err
		}
		return s.Each(ctx, ids, func(ctx context.Context, id string) error { return Erase(ctx, s, id) })
	})
}

// Erase deletes the content of a job that has ended.
func Erase(ctx context.Context, s *remote.Session, id string) error {
	if err := s.Erase(ctx, id); err != nil {
		return err
	}
	s.Sayf("job %s is erased", plain.Printable(id))
	if s.JSON {
		return s.PrintJSON(map[string]string{"job_id": id})
	}
	return s.Print(plain.OneLine(id) + "\n")
}
