package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/config"
	"github.com/ringback/ringback/internal/terminal"
)

// diagnosis explains why a job has not arrived, and what to do about it.
type diagnosis struct {
	sentences []string
	remedies  []remedy
}

// remedy is something to do: its purpose, and the command if there is one.
type remedy struct{ what, command string }

func (d *diagnosis) sayf(format string, args ...any) {
	d.sentences = append(d.sentences, fmt.Sprintf(format, args...))
}

func (d *diagnosis) do(what, command string) { d.remedies = append(d.remedies, remedy{what, command}) }

// commandLine formats a command of this program for pasting.
type commandLine func(format string, args ...any) string

// diagnose explains a job by its history.
func diagnose(h history, now time.Time, ours commandLine) diagnosis {
	var d diagnosis
	switch h.Job.Status {
	case ringback.Queued:
		d.waiting(h, now, ours)
	case ringback.Running:
		d.running(h, now, ours)
	case ringback.Completed:
		d.sayf("It has an answer.")
	default:
		d.unanswered(h.Job, ours)
	}
	if h.Job.Status.Terminal() {
		d.webhook(h, now, ours)
	}
	return d
}

// waiting says why a job waits.
func (d *diagnosis) waiting(h history, now time.Time, ours commandLine) {
	job := h.Job
	until := ""
	if job.RunAt.After(now) {
		until = " The next try is " + terminal.When(job.RunAt, now) + "."
	}
	elsewhere := false // whether another model may help
	switch job.StatusReason {
	case "scheduled":
		d.sayf("It waits for its run_at, %s.", terminal.When(job.RunAt, now))
	case "retrying":
		d.sayf("It had %s; the last failed%s. It is retried automatically.%s", attempts(job.Attempts), lastError(h), until)
	case "provider_refused":
		d.sayf("The provider %s refuses calls of %s for now%s. This costs no attempt, and the job is tried again automatically.%s", job.Provider, job.Model, heldBy(h), until)
		elsewhere = true
	case "provider_failing":
		d.sayf("Calls of %[2]s at the provider %[1]s keep failing%[3]s, so its jobs are held back. A probe checks when it has recovered.%[4]s", job.Provider, job.Model, heldBy(h), until)
		elsewhere = true
	case "provider_refused_key":
		d.sayf("The provider %s refuses the server's key or account%s. Its jobs wait until that is fixed. A job fails only if the provider keeps refusing it while answering others.%s", job.Provider, heldBy(h), until)
		d.do(fmt.Sprintf("give the server a valid key (%s, in its environment), or add credit to the account, and restart it; the jobs continue at once", keyVariable(job.Provider)), "")
	case "provider_not_configured":
		d.sayf("No provider %q is configured on this server any more.", job.Provider)
		d.do(fmt.Sprintf("configure it again (%s, in the server's environment, or providers.%s in its file) and restart the server", keyVariable(job.Provider), job.Provider), "")
		elsewhere = true
	case "unreadable":
		d.sayf("Its row in the store is too large or broken, so it can't be run. It fails when its turn comes; the server's log says what is wrong with it.")
	default:
		d.sayf("It waits for its turn: all of %s's slots are in use.", job.Provider)
	}
	d.do("watch it", ours("jobs watch %s", job.ID))
	if elsewhere {
		d.do("or, if it cannot wait, cancel it and repeat it with another model", ours("jobs cancel %s", job.ID)+" && "+ours(`jobs retry %s --patch '{"model": "…"}'`, job.ID))
	}
}

// lastError returns the error of the last attempt, as part of a sentence.
func lastError(h history) string {
	for _, a := range slices.Backward(h.Attempts) {
		if a.Error != "" {
			return fmt.Sprintf(" (%s)", strings.TrimSuffix(a.Error, "."))
		}
	}
	return ""
}

// heldBy returns the call, of this job or another, that holds a job back, as part of a
// sentence.
func heldBy(h history) string {
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

// keyVariable returns the name of the variable that has a provider's key.
func keyVariable(provider string) string {
	for _, w := range config.WellKnown {
		if w.Name == provider {
			return w.KeyVariable
		}
	}
	return "the variable that api_key_env of providers." + provider + " names"
}

func (d *diagnosis) running(h history, now time.Time, ours commandLine) {
	if h.Job.StatusReason == "cancel_requested" {
		d.sayf("It is being cancelled.")
		return
	}
	text := "The provider " + h.Job.Provider + " is answering."
	for _, a := range h.Attempts {
		switch {
		case a.Outcome == "" && a.FirstTokenAt.IsZero():
			text = fmt.Sprintf("The provider %s was called %s ago and has not started to answer.", a.Provider, terminal.Span(now.Sub(a.StartedAt.Time)))
		case a.Outcome == "":
			text = fmt.Sprintf("The provider %s has been answering for %s.", a.Provider, terminal.Span(now.Sub(a.FirstTokenAt.Time)))
		}
	}
	d.sayf("%s", text)
	d.do("watch it", ours("jobs watch %s", h.Job.ID))
	d.do("or cancel it", ours("jobs cancel %s", h.Job.ID))
}

// unanswered explains why a job ended without an answer, and how to repeat it.
func (d *diagnosis) unanswered(job ringback.Job, ours commandLine) {
	switch job.Status {
	case ringback.Cancelled:
		d.sayf("It was cancelled.")
	case ringback.Expired:
		d.sayf("Its expires_at (%s) passed before a provider answered it.", job.ExpiresAt.UTC().Format(time.RFC3339))
	default:
		d.sayf("It failed: %s", job.Error)
	}
	if job.ReplayedBy != "" {
		d.sayf("It was repeated by job %s.", job.ReplayedBy)
		d.do("look at the replay", ours("jobs show %s", job.ReplayedBy))
		return
	}
	what, patch := advice(job)
	if patch != "" {
		patch = " --patch '" + patch + "'"
	}
	d.do(what, ours("jobs retry %s%s", job.ID, patch))
}

// advice explains how to repeat a job so that it does not fail again.
func advice(job ringback.Job) (what, patch string) {
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
		return fmt.Sprintf("give the server a valid key (%s, in its environment), restart it, and repeat the job", keyVariable(job.Provider)), ""
	case ringback.CodeUncertain:
		return "repeat it, if you accept paying for the answer twice", ""
	case ringback.CodeProviderError, ringback.CodeIdle, ringback.CodeStreamBroken:
		return "repeat it when the provider has recovered, or with another model (--patch '{\"model\": \"…\"}')", ""
	}
	return "repeat it", ""
}

// webhook explains the state of the webhook of a job that has ended.
func (d *diagnosis) webhook(h history, now time.Time, ours commandLine) {
	if len(h.Deliveries) == 0 {
		d.sayf("No webhook was requested for this end.")
		return
	}
	for i, delivery := range h.Deliveries {
		send := sendCommands{again: ours("jobs redeliver %s", h.Job.ID), elsewhere: ours("jobs redeliver %s --to https://…", h.Job.ID)}
		name := "Its webhook"
		if i > 0 { // jobs redeliver --to made this one
			name = "Its webhook to another URL"
			send.again += " --to '" + terminal.OneLine(delivery.URL) + "'"
		}
		d.delivery(name, delivery, send, now)
	}
}

// sendCommands send a webhook again, to its receiver or to another.
type sendCommands struct{ again, elsewhere string }

// delivery explains the state of one delivery.
func (d *diagnosis) delivery(name string, last ringback.Delivery, send sendCommands, now time.Time) {
	switch {
	case last.Status == ringback.DeliveryDelivered:
		d.sayf("%s was delivered to %s.", name, terminal.HostOf(last.URL))
	case last.Reason == ringback.DeadErased:
		d.sayf("%s was erased before it was delivered.", name)
	case last.Status == ringback.DeliveryDead:
		d.sayf("%s is a dead letter: %s.%s%s", name, deadWords(last.Reason), lastTry(last), heldWords(last, now))
		d.resend(last, send)
	case len(last.Tries) == 0 && last.HostHold != nil:
		d.sayf("Its webhook to %s has not been tried yet.%s", terminal.HostOf(last.URL), heldWords(last, now))
		d.do("it is sent once the host has recovered; to send it now, even while the host is held", send.again)
	case len(last.Tries) == 0:
		d.sayf("Its webhook to %s has not been tried yet; other webhooks to that host go first.", terminal.HostOf(last.URL))
	default:
		d.sayf("%s has not arrived.%s%s%s", name, lastTry(last), nextWords(last, now), heldWords(last, now))
		d.resend(last, send)
	}
}

// resend explains how to send a webhook again, or elsewhere.
func (d *diagnosis) resend(last ringback.Delivery, send sendCommands) {
	d.do(fix(last), send.again)
	if len(last.Tries) > 0 {
		d.do("or send the answer to another URL", send.elsewhere)
	}
}

// heldWords returns that the host of a delivery is held, why and until when.
func heldWords(d ringback.Delivery, now time.Time) string {
	if d.HostHold == nil {
		return ""
	}
	why := "it kept failing"
	if d.HostHold.Reason == "receiver_refused" {
		why = "it asked for a pause"
	}
	until := "until a probe succeeds"
	if d.HostHold.Until.After(now) {
		until = "until " + terminal.Clock(d.HostHold.Until, now)
	}
	return fmt.Sprintf(" %s is held %s because %s; a probe then checks whether it has recovered.", terminal.HostOf(d.URL), until, why)
}

func lastTry(d ringback.Delivery) string {
	if len(d.Tries) == 0 {
		return ""
	}
	tries := "1 try"
	if len(d.Tries) > 1 {
		tries = fmt.Sprintf("%d tries", len(d.Tries))
	}
	return fmt.Sprintf(" After %s: %s %s.", tries, terminal.HostOf(d.URL), tryWords(d.Tries[len(d.Tries)-1]))
}

// fix returns what to do before a webhook can arrive.
func fix(d ringback.Delivery) string {
	if len(d.Tries) == 0 {
		return "send it now"
	}
	switch last := d.Tries[len(d.Tries)-1]; {
	case d.Reason == ringback.DeadTooLarge:
		return "raise the body limit of the receiver, or of the proxy in front of it, then send the webhook now; add --webhook-body full to send all of it"
	case last.Error == "blocked":
		return "start the server with --allow-callback for that address, if webhooks may go there; then send it now"
	case last.Error == "dns" || last.Error == "connect" || last.Error == "refused" || last.Error == "tls":
		return "start the receiver, then send the webhook now; this does not call the provider. If the URL is wrong, read the answer with --result"
	case last.StatusCode == 401 || last.StatusCode == 403 || last.StatusCode == 400:
		return "see what the receiver objects to (does it have the server's secret? ringback secret prints it); then send the webhook now"
	case last.StatusCode >= 300 && last.StatusCode < 400:
		return "redirects are not followed; make the URL respond itself, then send the webhook now"
	}
	return "fix the receiver, then send the webhook now; this does not call the provider"
}
