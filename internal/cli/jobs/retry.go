package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback/internal/cli/remote"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
)

func newRetry() *cobra.Command {
	var patch string
	var again bool
	cmd := &cobra.Command{
		Use:   "retry JOB... [FLAGS]",
		Short: "Repeat jobs that ended without an answer, as new jobs",
		Long: `Repeat jobs that failed, expired or were cancelled. Each becomes a new job with the same
request and callback URL, which runs at once. The command prints the new ids.

--patch changes the request. It is a JSON merge patch (RFC 7396), as text or @FILE, on what
"ringback jobs show --request JOB" prints; null removes a field. These fields of
POST /api/generate are not part of that, but can be patched too: callback_url,
callback_headers, provider_headers, events, webhook_body, timeout_seconds,
max_attempts, max_wait_seconds, result_ttl_seconds, retry_uncertain, priority, run_at,
expires_at, fallback_models, provider.

Repeating a job that was repeated before needs your confirmation, because its provider is
paid again: on a terminal the command asks; a script needs --yes.`,
		Example: `  ringback jobs retry 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d
  ringback jobs retry 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d --patch '{"model": "claude-sonnet-5-5"}'
  ringback jobs watch $(ringback jobs retry -q 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d --patch @patch.json)`,
		Args:              remote.IDs(1, 0, "job", "ringback dead list"),
		ValidArgsFunction: complete(unanswered),
	}
	cmd.Flags().StringVarP(&patch, "patch", "p", "", "`JSON|@FILE` a JSON merge patch on the request")
	cmd.Flags().BoolVarP(&again, "yes", "y", false, "do not ask before repeating a job that was repeated before")
	return remote.Command(cmd, func(ctx context.Context, s *remote.Session, ids []string) error {
		change, err := ReadPatch(patch)
		if err != nil {
			return err
		}
		return s.Each(ctx, ids, func(ctx context.Context, id string) error { return Replay(ctx, s, id, change, again) })
	})
}

// Replay repeats a job and prints the id of the new one. Unless again is set, it asks
// first if the job was repeated before.
func Replay(ctx context.Context, s *remote.Session, id string, patch json.RawMessage, again bool) error {
	if !again {
		if err := askToRepeatAgain(ctx, s, id); err != nil {
			return err
		}
	}
	job, err := s.Replay(ctx, id, patch)
	if err != nil {
		return err
	}
	s.Sayf("job %s is repeated by %s. To watch it: %s", plain.Printable(id), job.ID, s.CommandLine("jobs watch %s", job.ID))
	if s.JSON {
		return s.PrintJSON(job)
	}
	return s.Print(job.ID + "\n")
}

func askToRepeatAgain(ctx context.Context, s *remote.Session, id string) error {
	job, err := s.Get(ctx, id)
	if err != nil || job.ReplayedBy == "" {
		return err
	}
	return s.Confirm(false, fmt.Sprintf("Job %s was repeated before, by job %s. Call its provider again?", plain.Printable(id), job.ReplayedBy),
		fmt.Sprintf("job %s was repeated before, by job %s; to call its provider again, add --yes. To see how that job is doing: %s",
			plain.Printable(id), job.ReplayedBy, s.CommandLine("jobs show %s", job.ReplayedBy)))
}

// ReadPatch parses --patch. It returns nil if there is none.
func ReadPatch(text string) (json.RawMessage, error) {
	if text == "" {
		return nil, nil
	}
	content := []byte(text)
	if name, ok := strings.CutPrefix(text, "@"); ok {
		var err error
		if content, err = os.ReadFile(name); err != nil {
			return nil, exit.Errorf(exit.Usage, "--patch: %w", err)
		}
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(content, &fields); err != nil || fields == nil {
		what := fmt.Sprintf("%q", plain.Cut(text, 40))
		return nil, exit.Errorf(exit.Usage, `--patch: %s is not a JSON object; write it like '{"max_tokens": 8000}', or @FILE`, what)
	}
	return bytes.TrimSpace(content), nil
}
