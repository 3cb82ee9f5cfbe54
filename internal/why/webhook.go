package why

import (
	"fmt"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/plain"
)

// webhooks explains the state of the webhooks of a job that has ended.
func (e *Explanation) webhooks(h History, now time.Time, names Names) {
	if len(h.Deliveries) == 0 {
		e.sayf("No webhook was requested for this end.")
		return
	}
	for i, delivery := range h.Deliveries {
		send := sendCommands{again: names.CommandLine("jobs redeliver %s", h.Job.ID), elsewhere: names.CommandLine("jobs redeliver %s --to https://…", h.Job.ID)}
		name := "Its webhook"
		if i > 0 { // jobs redeliver --to made this one
			name = "Its webhook to another URL"
			send.again += " --to '" + plain.OneLine(delivery.URL) + "'"
		}
		e.delivery(name, delivery, send, now)
	}
}

// sendCommands send a webhook again, to its receiver or to another.
type sendCommands struct{ again, elsewhere string }

// delivery explains the state of one delivery.
func (e *Explanation) delivery(name string, last ringback.Delivery, send sendCommands, now time.Time) {
	switch {
	case last.Status == ringback.DeliveryDelivered:
		e.sayf("%s was delivered to %s.", name, plain.HostOf(last.URL))
	case last.Reason == ringback.DeadErased:
		e.sayf("%s was erased before it was delivered.", name)
	case last.Status == ringback.DeliveryDead:
		e.sayf("%s is a dead letter: %s.%s%s", name, Dead(last.Reason), lastTry(last), Held(last, now))
		e.resend(last, send)
	case len(last.Tries) == 0 && last.HostHold != nil:
		e.sayf("Its webhook to %s has not been tried yet.%s", plain.HostOf(last.URL), Held(last, now))
		e.do("it is sent once the host has recovered; to send it now, even while the host is held", send.again)
	case len(last.Tries) == 0:
		e.sayf("Its webhook to %s has not been tried yet; other webhooks to that host go first.", plain.HostOf(last.URL))
	default:
		e.sayf("%s has not arrived.%s%s%s", name, lastTry(last), NextTry(last, now), Held(last, now))
		e.resend(last, send)
	}
}

// resend explains how to send a webhook again, or elsewhere.
func (e *Explanation) resend(last ringback.Delivery, send sendCommands) {
	e.do(fix(last), send.again)
	if len(last.Tries) > 0 {
		e.do("or send the answer to another URL", send.elsewhere)
	}
}

// fix returns what to do before a webhook can arrive.
func fix(d ringback.Delivery) string {
	if len(d.Tries) == 0 {
		return "send it now"
	}
	switch last := d.Tries[len(d.Tries)-1]; {
	case d.Reason == ringback.DeadTooLarge:
		return "raise the body limit of the receiver, or of the proxy in front of it, then send the webhook now; add --webhook-body full to send all of it"
	case last.Error == ringback.TryBlocked:
		return "start the server with --allow-callback for that address, if webhooks may go there; then send it now"
	case last.Error == ringback.TryDNS || last.Error == ringback.TryConnect || last.Error == ringback.TryRefused || last.Error == ringback.TryTLS:
		return "start the receiver, then send the webhook now; this does not call the provider. If the URL is wrong, read the answer with --result"
	case last.StatusCode == 401 || last.StatusCode == 403 || last.StatusCode == 400:
		return "see what the receiver objects to (does it have the server's secret? ringback secret prints it); then send the webhook now"
	case last.StatusCode >= 300 && last.StatusCode < 400:
		return "redirects are not followed; make the URL respond itself, then send the webhook now"
	}
	return "fix the receiver, then send the webhook now; this does not call the provider"
}

func lastTry(d ringback.Delivery) string {
	if len(d.Tries) == 0 {
		return ""
	}
	tries := "1 try"
	if len(d.Tries) > 1 {
		tries = fmt.Sprintf("%d tries", len(d.Tries))
	}
	return fmt.Sprintf(" After %s: %s %s.", tries, plain.HostOf(d.URL), Try(d.Tries[len(d.Tries)-1]))
}

// Held returns that the host of a delivery is held, why and until when: a sentence that
// follows another, or "" if the host is not held.
func Held(d ringback.Delivery, now time.Time) string {
	if d.HostHold == nil {
		return ""
	}
	why := "it kept failing"
	if d.HostHold.Reason == "receiver_refused" {
		why = "it asked for a pause"
	}
	until := "until a probe succeeds"
	if d.HostHold.Until.After(now) {
		until = "until " + plain.Clock(d.HostHold.Until, now)
	}
	return fmt.Sprintf(" %s is held %s because %s; a probe then checks whether it has recovered.", plain.HostOf(d.URL), until, why)
}

// NextTry returns when a webhook is tried next: a sentence that follows another, or "".
func NextTry(d ringback.Delivery, now time.Time) string {
	switch {
	case d.Status == ringback.DeliveryDead:
		return " It is a dead letter: it is not tried again automatically."
	case d.Status == ringback.DeliveryPending && d.HostHold != nil && d.HostHold.Until.After(d.NextTryAt.Time):
		return " The next try waits for the end of the hold."
	case d.Status == ringback.DeliveryPending && d.NextTryAt.After(now):
		return " The next try is " + plain.When(d.NextTryAt, now) + "."
	}
	return ""
}

// Webhook returns the state of a job's webhook in a few words.
func Webhook(w ringback.Webhook, now time.Time) string {
	text := string(w.Status)
	if w.Tries > 0 {
		text += fmt.Sprintf(" (try %d", w.Tries)
		if w.LastStatusCode != 0 {
			text += fmt.Sprintf(" answered %d", w.LastStatusCode)
		}
		text += ")"
	}
	if w.Status == ringback.DeliveryPending && w.NextTryAt.After(now) {
		text += ", next try in " + plain.Span(w.NextTryAt.Sub(now))
	}
	return text
}

// Try returns what the receiver did, as the rest of a sentence about it.
func Try(try ringback.Try) string {
	took := plain.Millis(try.DurationMS)
	var text string
	switch {
	case try.StatusCode != 0:
		text = fmt.Sprintf("answered %d (%s)", try.StatusCode, took)
	case tryErrors[try.Error] != "":
		text = tryErrors[try.Error] + " (" + took + ")"
	default:
		text = "failed: " + string(try.Error) + " (" + took + ")"
	}
	if try.Error == ringback.TryRedirect {
		text += ", a redirect, which is not followed"
	}
	if try.Response != "" && try.Error != "" {
		text += ": " + plain.Cut(fmt.Sprintf("%q", plain.OneLine(try.Response)), 200)
	}
	return text
}

// tryErrors are the classes of errors before a receiver responded.
var tryErrors = map[ringback.TryError]string{
	ringback.TryDNS:      "was not found: its name has no address",
	ringback.TryConnect:  "could not be connected to",
	ringback.TryRefused:  "refused the connection: nothing listens there",
	ringback.TryReset:    "broke the connection",
	ringback.TryTLS:      "has no TLS certificate that is trusted",
	ringback.TryTimeout:  "did not answer in time",
	ringback.TryStatus:   "answered badly",
	ringback.TryBlocked:  "was not called: its address is closed to webhooks",
	ringback.TryInternal: "was not called, or not heard: the server made a mistake, which its log has",
	ringback.TryUnknown:  "may have been reached: the server died during the try",
}

// Form names the form of the webhook that a try sent, unless it is the full one.
func Form(try ringback.Try) string {
	if try.WebhookBody == ringback.WebhookResult || try.WebhookBody == ringback.WebhookThin {
		return " (as " + string(try.WebhookBody) + ")"
	}
	return ""
}

// Dead returns why a delivery is a dead letter.
func Dead(reason ringback.DeadReason) string {
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
