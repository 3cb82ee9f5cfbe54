package jobs

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback/internal/cli/answer"
	"github.com/ringback/ringback/internal/cli/remote"
	"github.com/ringback/ringback/internal/config"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
	"github.com/ringback/ringback/internal/terminal"
	"github.com/ringback/ringback/internal/why"
)

func newShow() *cobra.Command {
	var onlyResult, onlyRequest bool
	cmd := &cobra.Command{
		Use:   "show JOB [FLAGS]",
		Short: "Show what happened to a job, why it has not arrived, and what to do",
		Long: `Show a job: its state and the reason for it, its history (acceptance, each provider call,
the end, each try of its webhook), and the commands that fix what is wrong. --json prints
one object with job, attempts and deliveries.`,
		Example: `  ringback jobs show 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d
  ringback jobs show --result 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d > answer.txt
  ringback jobs show --request 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d | jq .`,
		Args:              remote.IDs(1, 1, "job", "ringback jobs list"),
		ValidArgsFunction: complete(anyJob),
	}
	cmd.Flags().BoolVar(&onlyResult, "result", false, "print only the answer; exit code 10 if the job ended without one")
	cmd.Flags().BoolVar(&onlyRequest, "request", false, "print the stored request to the provider, as JSON")
	cmd.MarkFlagsMutuallyExclusive("result", "request")
	return remote.Command(cmd, func(ctx context.Context, s *remote.Session, args []string) error {
		switch {
		case onlyResult:
			return showResult(ctx, s, args[0])
		case onlyRequest:
			return showRequest(ctx, s, args[0])
		}
		return Show(ctx, s, args[0])
	})
}

func showResult(ctx context.Context, s *remote.Session, id string) error {
	job, err := s.Get(ctx, id)
	if err != nil {
		return err
	}
	if !job.Status.Terminal() {
		return exit.Errorf(exit.Failure, "job %s is %s and has no answer yet; wait for it: %s", job.ID, why.Status(job, time.Now()), s.CommandLine("jobs watch %s", job.ID))
	}
	return answer.Print(s, job)
}

func showRequest(ctx context.Context, s *remote.Session, id string) error {
	job, err := s.GetWithRequest(ctx, id)
	if err != nil {
		return err
	}
	return s.PrintText(string(job.Request))
}

func history(ctx context.Context, s *remote.Session, id string) (h why.History, err error) {
	if h.Job, err = s.Get(ctx, id); err != nil {
		return h, err
	}
	if h.Attempts, err = s.Attempts(ctx, id); err != nil {
		return h, err
	}
	h.Deliveries, err = s.Deliveries(ctx, id)
	return h, err
}

// Show prints what happened to a job, why it has not arrived, and what to do.
func Show(ctx context.Context, s *remote.Session, id string) error {
	h, err := history(ctx, s, id)
	if err != nil {
		return err
	}
	if s.JSON {
		return s.PrintJSON(h)
	}
	return s.Print(historyText(s, h, time.Now()))
}

func historyText(s *remote.Session, h why.History, now time.Time) string {
	var b strings.Builder
	e := why.Explain(h, now, why.Names{CommandLine: s.CommandLine, KeyVariable: config.KeyVariable})
	fmt.Fprintf(&b, "job %s  %s\n", h.Job.ID, terminal.StatusPaint(s.Paint(), string(h.Job.Status)))
	for _, sentence := range e.Sentences {
		for _, line := range plain.Wrap(plain.OneLine(sentence), 88) {
			b.WriteString("  " + line + "\n")
		}
	}
	b.WriteString("\n")
	for _, m := range why.Timeline(h, now) {
		fmt.Fprintf(&b, "  %s  %s %s\n", s.Paint().Dim(plain.Clock(m.At, now)), s.Paint().Bold(fmt.Sprintf("%-9s", m.What)), plain.Cut(plain.OneLine(m.Text), 2000))
	}
	if h.Job.Result != nil {
		fmt.Fprintf(&b, "\nanswer: %s\n", excerptOf(*h.Job.Result))
		fmt.Fprintf(&b, "  all of it:\n    %s\n", s.CommandLine("jobs show --result %s", h.Job.ID))
	}
	if len(e.Remedies) > 0 {
		b.WriteString("\nto do:\n")
	}
	for _, r := range e.Remedies {
		fmt.Fprintf(&b, "  %s\n", strings.Join(plain.Wrap(plain.OneLine(r.What), 88), "\n  "))
		if r.Command != "" {
			fmt.Fprintf(&b, "    %s\n", s.Paint().Bold(r.Command))
		}
	}
	return b.String()
}

// excerptOf returns the beginning of an answer.
func excerptOf(text string) string {
	const most = 200
	return fmt.Sprintf("%s (%d bytes)", plain.Cut(plain.OneLine(text), most), len(text))
}
