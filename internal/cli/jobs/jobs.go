// Package jobs has the commands of "ringback jobs", each in the file of its name. Commands for
// dead letters and deliveries use some of them for the job behind one.
package jobs

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/cli/remote"
	"github.com/ringback/ringback/internal/plain"
)

// New makes ringback jobs.
func New() *cobra.Command {
	return remote.Group(&cobra.Command{
		Use:   "jobs COMMAND",
		Short: "List, show, cancel, erase, watch and repeat jobs",
		Long: `Work with the jobs of a server. show tells you why a job has not arrived, and which
command fixes it.`,
		Example: `  ringback jobs list --status failed
  ringback jobs show 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d
  ringback jobs retry 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d --patch '{"max_tokens": 8000}'`,
	}, newList(), newShow(), newWatch(), newCancel(), newRetry(), newRedeliver(), newErase())
}

// ended and the others report whether a command is for a job, to complete its ids.
func ended(j ringback.Job) bool      { return j.Status.Terminal() }
func alive(j ringback.Job) bool      { return !j.Status.Terminal() }
func unanswered(j ringback.Job) bool { return j.Status.Terminal() && j.Status != ringback.Completed }
func anyJob(ringback.Job) bool       { return true }

// complete lets the shell complete the ids of recent jobs that fit.
func complete(fit func(ringback.Job) bool) cobra.CompletionFunc {
	return remote.CompleteIDs(func(ctx context.Context, s *remote.Session) ([]cobra.Completion, error) {
		page, err := s.List(ctx, client.Query{Limit: 50})
		var ids []cobra.Completion
		for _, job := range page.Data {
			if fit(job) {
				ids = append(ids, cobra.CompletionWithDesc(job.ID, string(job.Status)+" "+plain.OneLine(job.RequestedModel)))
			}
		}
		return ids, err
	})
}
