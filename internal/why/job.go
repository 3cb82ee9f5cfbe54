package why

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/plain"
)

// waiting explains why a job waits.
func (e *Explanation) waiting(h History, now time.Time, names Names) {
	job := h.Job
	until := ""
	if job.RunAt.After(now) {
		until = " The next try is " + plain.When(job.RunAt, now) + "."
	}
	elsewhere := false // whether another model may help
	switch job.StatusReason {
	case "scheduled":
		e.sayf("It waits for its run_at, %s.", plain.When(job.RunAt, now))
	case "retrying":
		e.sayf("It had %s; the last failed%s. It is retried automatically.%s", attempts(job.Attempts), lastError(h), until)
	case "provider_refused":
		e.sayf("The provider %s refuses calls of %s for now%s. This costs no attempt, and the job is tried again automatically.%s", job.Provider, job.Model, heldBy(h), until)
		elsewhere = true
	case "provider_failing":
		e.sayf("Calls of %[2]s at the provider %[1]s keep failing%[3]s, so its jobs are held back. A probe checks when it has recovered.%[4]s", job.Provider, job.Model, heldBy(h), until)
		elsewhere = true
	case "provider_refused_key":
		e.sayf("The provider %s refuses the server's key or account%s. Its jobs wait until that is fixed. A job fails only if the provider keeps refusing it while answering others.%s", job.Provider, heldBy(h), until)
		e.do(fmt.Sprintf("give the server a valid key (%s, in its environment), or add credit to the account, and restart it; the jobs continue at once", names.keyVariable(job.Provider)), "")
	case "provider_not_configured":
		e.sayf("No provider %q is configured on this server any more.", job.Provider)
		e.do(fmt.Sprintf("configure it again (%s, in the server's environment, or providers.%s in its file) and restart the server", names.keyVariable(job.Provider), job.Provider), "")
		elsewhere = true
	case "unreadable":
		e.sayf("Its row in the store is too large or broken, so it can't be run. It fails when its turn comes; the server's log says what is wrong with it.")
	default:
		e.sayf("It waits for its turn: all of %s's slots are in use.", job.Provider)
	}
	e.do("watch it", names.CommandLine("jobs watch %s", job.ID))
	if elsewhere {
		e.do("or, if it cannot wait, cancel it and repeat it with another model", names.CommandLine("jobs cancel %s", job.ID)+" && "+names.CommandLine(`jobs retry %s --patch '{"model": "…"}'`, job.ID))
	}
}

// lastError returns the error of the last attempt, as part of a sentence.
func lastError(h History) string {
	for _, a := range slices.Backward(h.Attempts) {
		if a.Error != "" {
			return fmt.Sprintf(" (%s)", strings.TrimSuffix(a.Error, "."))
		}
	}
	return ""
}

// heldBy returns the call, of this job or another, that holds a job back, as part of a
// sentence.
func heldBy(h History) string {
	by := h.Job.HeldBy
	if by == nil {
		return lastError(h)
	}
	called := "when it was called for " + by.Model
	switch by.JobID {
	case "":
	case h.Job.ID:
		called += ", for this job"
	default:
		called += ", for job " + by.JobID
	}
	return fmt.Sprintf(" (%s: %s)", called, strings.TrimSuffix(by.Error, "."))
}

// running explains what a running job waits for.
func (e *Explanation) running(h History, now time.Time, names Names) {
	if h.Job.StatusReason == "cancel_requested" {
		e.sayf("It is being cancelled.")
		return
	}
	text := "The provider " + h.Job.Provider + " is answering."
	for _, a := range h.Attempts {
		switch {
		case a.Outcome == "" && a.FirstTokenAt.IsZero():
			text = fmt.Sprintf("The provider %s was called %s ago and has not started to answer.", a.Provider, plain.Span(now.Sub(a.StartedAt.Time)))
		case a.Outcome == "":
			text = fmt.Sprintf("The provider %s has been answering for %s.", a.Provider, plain.Span(now.Sub(a.FirstTokenAt.Time)))
		}
	}
	e.sayf("%s", text)
	e.do("watch it", names.CommandLine("jobs watch %s", h.Job.ID))
	e.do("or cancel it", names.CommandLine("jobs cancel %s", h.Job.ID))
}

// unanswered explains why a job ended without an answer, and how to repeat it.
func (e *Explanation) unanswered(job ringback.Job, names Names) {
	switch job.Status {
	case ringback.Cancelled:
		e.sayf("It was cancelled.")
	case ringback.Expired:
		e.sayf("Its expires_at (%s) passed before a provider answered it.", job.ExpiresAt.UTC().Format(time.RFC3339))
	default:
		e.sayf("It failed: %s", job.Error)
	}
	if job.ReplayedBy != "" {
		e.sayf("It was repeated by job %s.", job.ReplayedBy)
		e.do("look at the replay", names.CommandLine("jobs show %s", job.ReplayedBy))
		return
	}
	what, patch := advice(job, names)
	if patch != "" {
		patch = " --patch '" + patch + "'"
	}
	e.do(what, names.CommandLine("jobs retry %s%s", job.ID, patch))
}

// advice explains how to repeat a job so that it does not fail again.
func advice(job ringback.Job, names Names) (what, patch string) {
	code := ringback.ErrorDetailCode("")
	if job.ErrorDetail != nil {
		code = job.ErrorDetail.Code
	}
	switch code {
	case ringback.CodeProviderRejected:
		return "the provider will never answer this request: look at it with --request, then repeat it with a fix", `{"FIELD": …}`
	case ringback.CodeModelNotFound:
		return "repeat it with a model that the provider has", `{"model": "…"}`
	case ringback.CodeTimeout:
		return "repeat it with more time for an attempt", `{"timeout_seconds": 1800}`
	case ringback.CodeTooLarge:
		return "repeat it with a shorter answer", `{"max_tokens": …}`
	case ringback.CodeMaxWait:
		return "repeat it with a longer wait, or with another model", `{"max_wait_seconds": 86400}`
	case ringback.CodeProviderRefusedKey:
		return fmt.Sprintf("give the server a valid key (%s, in its environment), restart it, and repeat the job", names.keyVariable(job.Provider)), ""
	case ringback.CodeUncertain:
		return "repeat it, if you accept paying for the answer twice", ""
	case ringback.CodeProviderError, ringback.CodeIdle, ringback.CodeStreamBroken:
		return "repeat it when the provider has recovered, or with another model (--patch '{\"model\": \"…\"}')", ""
	}
	return "repeat it", ""
}

// Status returns the status of a job in a few words.
func Status(job ringback.Job, now time.Time) string {
	text := string(job.Status)
	if job.StatusReason != "" {
		text += " · " + job.StatusReason
	}
	switch {
	case job.Attempts > 0 && job.Status == ringback.Running:
		text += fmt.Sprintf(" · attempt %d", job.Attempts+1)
	case job.Attempts > 0 && job.Status == ringback.Queued:
		text += " · " + attempts(job.Attempts) + " made"
	}
	if d := job.RunAt.Sub(now); !job.RunAt.IsZero() && d > 0 {
		text += " · next try in " + plain.Span(d)
	}
	return text
}

func attempts(n int) string {
	if n == 1 {
		return "1 attempt"
	}
	return fmt.Sprintf("%d attempts", n)
}

// Short returns why a job waits, why it ended without an answer, or why its webhook has not
// arrived, for a column of a list.
func Short(job ringback.Job, now time.Time) string {
	switch {
	case job.ErrorDetail != nil:
		return string(job.ErrorDetail.Code) + ": " + job.Error
	case job.Error != "":
		return job.Error
	case job.Webhook != nil && job.Webhook.Status != ringback.DeliveryDelivered:
		return "webhook " + Webhook(*job.Webhook, now)
	case job.StatusReason == "":
		return ""
	case job.RunAt.After(now):
		return job.StatusReason + ", until " + plain.Clock(job.RunAt, now)
	}
	return job.StatusReason
}

// NoAnswer returns how a job ended without an answer, as the rest of a sentence about it.
func NoAnswer(job ringback.Job) string {
	text := map[ringback.Status]string{
		ringback.Failed: "failed", ringback.Cancelled: "was cancelled", ringback.Expired: "expired before it was run to its end",
	}[job.Status]
	if job.ErrorDetail != nil {
		text += fmt.Sprintf(" (%s)", job.ErrorDetail.Code)
	}
	if job.Error != "" {
		text += ": " + plain.OneLine(job.Error)
	}
	return text
}

// End returns the result of a job that has ended: the model and the tokens of its answer,
// or the error.
func End(job ringback.Job) string {
	switch {
	case job.Status == ringback.Completed:
		usage := gjson.ParseBytes(job.Usage)
		return fmt.Sprintf("%s · %d tokens in, %d out", job.Model, usage.Get("input_tokens").Int(), usage.Get("output_tokens").Int())
	case job.ErrorDetail != nil:
		return fmt.Sprintf("%s · %s", job.ErrorDetail.Code, job.Error)
	}
	return job.Error
}
