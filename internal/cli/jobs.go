package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
)

func NewJobs() *cobra.Command {
	return group(&cobra.Command{
		Use:   "jobs COMMAND",
		Short: "List, show, cancel, erase, watch and repeat jobs",
		Long: `Work with the jobs of a server. show tells you why a job has not arrived, and which
command fixes it.`,
		Example: `  ringback jobs list --status failed
  ringback jobs show 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d
  ringback jobs retry 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d --patch '{"max_tokens": 8000}'`,
	}, newJobsList(), newJobsShow(), newJobsWatch(), newJobsCancel(), newJobsRetry(), newJobsRedeliver(), newJobsErase())
}

// each calls do for each id, even after one has failed. The error has the code of the first
// failure and says how many failed.
func (s *session) each(ctx context.Context, ids []string, do func(ctx context.Context, id string) error) error {
	if len(ids) == 1 {
		return do(ctx, ids[0])
	}
	var first *exit.Error
	failed := 0
	for i, id := range ids {
		err := s.explain(ctx, do(ctx, id))
		if err == nil {
			continue
		}
		f, ok := errors.AsType[*exit.Error](err)
		if !ok {
			f = &exit.Error{Code: exit.Failure, Err: err}
		}
		if f.Code == exit.Interrupted {
			return exit.Errorf(exit.Interrupted, "interrupted after %d of %d", i, len(ids))
		}
		fmt.Fprintf(s.Talk, "%s: %v\n", plain.Printable(id), f)
		if first == nil {
			first = f
		}
		failed++
	}
	if first == nil {
		return nil
	}
	return exit.Errorf(first.Code, "%d of %d were not done, as said above; the others were", failed, len(ids))
}

// ended and the others report whether a command is for a job, to complete its ids.
func ended(j ringback.Job) bool      { return j.Status.Terminal() }
func alive(j ringback.Job) bool      { return !j.Status.Terminal() }
func unanswered(j ringback.Job) bool { return j.Status.Terminal() && j.Status != ringback.Completed }
func anyJob(ringback.Job) bool       { return true }
func codeOf(j ringback.Job) string {
	if j.ErrorDetail == nil {
		return string(j.Status)
	}
	return string(j.ErrorDetail.Code)
}
