package cli

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
)

func newJobsErase() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "erase JOB... [FLAGS]",
		Short: "Delete the content of jobs that have ended",
		Long: `Delete the content of jobs that have ended: request, answer, metadata, callback URL and
headers, and the webhook's bytes. A webhook that was not delivered yet is no longer sent.
The rest (id, state, times, model, usage) stays for 30 days and shows that the job was
erased. This cannot be undone, so the command asks first; a script needs --yes.`,
		Example:           `  ringback jobs erase 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d --yes`,
		Args:              ids(1, 0, "job", "ringback jobs list"),
		ValidArgsFunction: completeJobs(ended),
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return remote(cmd, func(ctx context.Context, s *session, ids []string) error {
		what := "job " + plain.Printable(ids[0])
		if len(ids) > 1 {
			what = fmt.Sprintf("%d jobs", len(ids))
		}
		if err := s.confirm(yes, "Delete request and answer of "+what+" for good?", irreversible); err != nil {
			return err
		}
		return s.each(ctx, ids, s.erase)
	})
}

func (s *session) erase(ctx context.Context, id string) error {
	if err := s.Erase(ctx, id); err != nil {
		return err
	}
	s.Sayf("job %s is erased", plain.Printable(id))
	if s.JSON {
		return s.PrintJSON(map[string]string{"job_id": id})
	}
	return s.Print(plain.OneLine(id) + "\n")
}

// irreversible is the refusal of what cannot be undone.
const irreversible = "this cannot be undone, and there is no terminal to ask on; use --yes"

// confirm asks the user a question. Without a terminal it returns an error that names the
// flag to use instead.
func (s *session) confirm(yes bool, question, refusal string) error {
	if yes {
		return nil
	}
	if !isTerminal(s.in) {
		return exit.Errorf(exit.Usage, "%s", refusal)
	}
	fmt.Fprintf(s.Talk, "%s [y/N] ", question)
	answer, err := bufio.NewReader(s.in).ReadString('\n')
	if err != nil {
		fmt.Fprintln(s.Talk)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return exit.Errorf(exit.Failure, "nothing was done")
}
