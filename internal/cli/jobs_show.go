package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/terminal"
)

func newJobsShow() *cobra.Command {
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
		Args:              ids(1, 1, "job", "ringback jobs list"),
		ValidArgsFunction: completeJobs(anyJob),
	}
	cmd.Flags().BoolVar(&onlyResult, "result", false, "print only the answer; exit code 10 if the job ended without one")
	cmd.Flags().BoolVar(&onlyRequest, "request", false, "print the stored request to the provider, as JSON")
	cmd.MarkFlagsMutuallyExclusive("result", "request")
	return remote(cmd, func(ctx context.Context, s *session, args []string) error {
		switch {
		case onlyResult:
			return s.showResult(ctx, args[0])
		case onlyRequest:
			return s.showRequest(ctx, args[0])
		}
		return s.show(ctx, args[0])
	})
}

func (s *session) showResult(ctx context.Context, id string) error {
	job, err := s.Get(ctx, id)
	if err != nil {
		return err
	}
	if !job.Status.Terminal() {
		return exit.Errorf(exit.Failure, "job %s is %s and has no answer yet; wait for it: %s", job.ID, standingOf(job, time.Now()), s.ours("jobs watch %s", job.ID))
	}
	return s.printAnswer(job)
}

func (s *session) showRequest(ctx context.Context, id string) error {
	job, err := s.GetWithRequest(ctx, id)
	if err != nil {
		return err
	}
	return s.PrintText(string(job.Request))
}

// history is everything that the server knows about a job.
type history struct {
	Job        ringback.Job        `json:"job"`
	Attempts   []ringback.Attempt  `json:"attempts"`
	Deliveries []ringback.Delivery `json:"deliveries"`
}

func (s *session) history(ctx context.Context, id string) (h history, err error) {
	if h.Job, err = s.Get(ctx, id); err != nil {
		return h, err
	}
	if h.Attempts, err = s.Attempts(ctx, id); err != nil {
		return h, err
	}
	h.Deliveries, err = s.Deliveries(ctx, id)
	return h, err
}

func (s *session) show(ctx context.Context, id string) error {
	h, err := s.history(ctx, id)
	if err != nil {
		return err
	}
	if s.JSON {
		return s.PrintJSON(h)
	}
	return s.Print(s.historyText(h, time.Now()))
}

func (s *session) historyText(h history, now time.Time) string {
	var b strings.Builder
	d := diagnose(h, now, s.ours)
	fmt.Fprintf(&b, "job %s  %s\n", h.Job.ID, terminal.StatusPaint(s.Paint(), string(h.Job.Status)))
	for _, sentence := range d.sentences {
		for _, line := range terminal.Wrap(terminal.OneLine(sentence), 88) {
			b.WriteString("  " + line + "\n")
		}
	}
	b.WriteString("\n")
	for _, m := range timeline(h, now) {
		fmt.Fprintf(&b, "  %s  %s %s\n", s.Paint().Dim(m.at), s.Paint().Bold(fmt.Sprintf("%-9s", m.who)), terminal.Cut(terminal.OneLine(m.what), 2000))
	}
	if h.Job.Result != nil {
		fmt.Fprintf(&b, "\nanswer: %s\n", excerptOf(*h.Job.Result))
		fmt.Fprintf(&b, "  all of it:\n    %s\n", s.ours("jobs show --result %s", h.Job.ID))
	}
	if len(d.remedies) > 0 {
		b.WriteString("\nto do:\n")
	}
	for _, r := range d.remedies {
		fmt.Fprintf(&b, "  %s\n", strings.Join(terminal.Wrap(terminal.OneLine(r.what), 88), "\n  "))
		if r.command != "" {
			fmt.Fprintf(&b, "    %s\n", s.Paint().Bold(r.command))
		}
	}
	return b.String()
}

// excerptOf returns the beginning of an answer.
func excerptOf(text string) string {
	const most = 200
	return fmt.Sprintf("%s (%d bytes)", terminal.Cut(terminal.OneLine(text), most), len(text))
}

// happening is a line of a timeline.
type happening struct{ at, who, what string }

// timeline returns what happened to a job, in order.
func timeline(h history, now time.Time) []happening {
	var all []happening
	add := func(at ringback.Time, who, format string, args ...any) {
		all = append(all, happening{terminal.Clock(at, now), who, fmt.Sprintf(format, args...)})
	}
	add(h.Job.CreatedAt, "accepted", "%s", acceptedWords(h.Job, now))
	for _, a := range h.Attempts {
		add(a.StartedAt, "attempt", "%d: %s %s · %s", a.Number, a.Provider, a.Model, attemptWords(a, now))
	}
	switch {
	case h.Job.Status == ringback.Queued && h.Job.RunAt.After(now):
		add(h.Job.RunAt, "next", "may run then, in %s", terminal.Span(h.Job.RunAt.Sub(now)))
	case h.Job.Status.Terminal():
		add(h.Job.EndedAt, string(h.Job.Status), "%s", endWords(h.Job))
	}
	for _, d := range h.Deliveries {
		add(d.CreatedAt, "webhook", "%s to %s", d.Event, d.URL)
		for _, try := range d.Tries {
			add(try.At, "try", "%d: %s%s%s", try.Number, tryWords(try), formWords(try), trigger(try))
		}
		switch d.Status {
		case ringback.DeliveryDelivered:
			add(d.EndedAt, "delivered", "")
		case ringback.DeliveryDead:
			add(d.EndedAt, "dead", "%s", deadWords(d.Reason))
		case ringback.DeliveryPending:
			if d.NextTryAt.After(now) {
				add(d.NextTryAt, "next", "next try, in %s", terminal.Span(d.NextTryAt.Sub(now)))
			}
		}
	}
	return all
}

func acceptedWords(job ringback.Job, now time.Time) string {
	text := "for " + job.RequestedModel
	if job.Priority > 0 {
		text += fmt.Sprintf(" · priority %d", job.Priority)
	}
	if job.ReplayOf != "" {
		text += " · a replay of job " + job.ReplayOf
	}
	if !job.Status.Terminal() {
		text += " · expires " + terminal.When(job.ExpiresAt, now)
	}
	return text
}

func attemptWords(a ringback.Attempt, now time.Time) string {
	if a.Outcome == "" {
		text := "runs for " + terminal.Span(now.Sub(a.StartedAt.Time))
		if a.FirstTokenAt.IsZero() {
			return text + ", nothing of an answer yet"
		}
		return text
	}
	text := fmt.Sprintf("%s after %s", a.Outcome, terminal.Span(a.EndedAt.Sub(a.StartedAt.Time)))
	if a.Error != "" {
		text += " · " + a.Error // which names the status, if there was one
	}
	return text
}

func endWords(job ringback.Job) string {
	switch {
	case job.Status == ringback.Completed:
		usage := gjson.ParseBytes(job.Usage)
		return fmt.Sprintf("%s · %d tokens in, %d out", job.Model, usage.Get("input_tokens").Int(), usage.Get("output_tokens").Int())
	case job.ErrorDetail != nil:
		return fmt.Sprintf("%s · %s", job.ErrorDetail.Code, job.Error)
	}
	return job.Error
}

func trigger(try ringback.Try) string {
	switch try.Trigger {
	case "manual":
		return " (asked for)"
	case "probe":
		return " (a probe of the host)"
	}
	return ""
}

// tryWords returns what the receiver did.
func tryWords(try ringback.Try) string {
	took := terminal.Millis(try.DurationMS)
	var text string
	switch {
	case try.StatusCode != 0:
		text = fmt.Sprintf("answered %d (%s)", try.StatusCode, took)
	case tryErrors[try.Error] != "":
		text = tryErrors[try.Error] + " (" + took + ")"
	default:
		text = "failed: " + try.Error + " (" + took + ")"
	}
	if try.Error == "redirect" {
		text += ", a redirect, which is not followed"
	}
	if try.Response != "" && try.Error != "" {
		text += ": " + terminal.Cut(fmt.Sprintf("%q", terminal.OneLine(try.Response)), 200)
	}
	return text
}

// tryErrors are the classes of errors before a receiver responded.
var tryErrors = map[string]string{
	"dns":      "was not found: its name has no address",
	"connect":  "could not be connected to",
	"refused":  "refused the connection: nothing listens there",
	"reset":    "broke the connection",
	"tls":      "has no TLS certificate that is trusted",
	"timeout":  "did not answer in time",
	"status":   "answered badly",
	"blocked":  "was not called: its address is closed to webhooks",
	"internal": "was not called, or not heard: the server made a mistake, which its log has",
	"unknown":  "may have been reached: the server died during the try",
}

func deadWords(reason ringback.DeadReason) string {
	if words, ok := deadReasons[reason]; ok {
		return words
	}
	return string(reason)
}

var deadReasons = map[ringback.DeadReason]string{
	ringback.DeadTries:    "all tries of the schedule failed",
	ringback.DeadRefused:  "the receiver does not want it, or its address is closed",
	ringback.DeadTooLarge: "it is too large for the receiver, even without the answer: 413 in every form",
	ringback.DeadExpired:  "its time ran out before a try succeeded",
	ringback.DeadErased:   "its bytes were deleted before a try succeeded",
}
