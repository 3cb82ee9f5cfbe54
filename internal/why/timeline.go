package why

import (
	"fmt"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/plain"
)

// Happening is one entry of a timeline.
type Happening struct {
	At   ringback.Time
	What string // in one word, such as "attempt"
	Text string
}

// Timeline returns what happened to a job, in order, and what comes next.
func Timeline(h History, now time.Time) []Happening {
	var all []Happening
	add := func(at ringback.Time, what, format string, args ...any) {
		all = append(all, Happening{at, what, fmt.Sprintf(format, args...)})
	}
	add(h.Job.CreatedAt, "accepted", "%s", accepted(h.Job, now))
	for _, a := range h.Attempts {
		add(a.StartedAt, "attempt", "%d: %s %s · %s", a.Number, a.Provider, a.Model, attempt(a, now))
	}
	switch {
	case h.Job.Status == ringback.Queued && h.Job.RunAt.After(now):
		add(h.Job.RunAt, "next", "may run then, in %s", plain.Span(h.Job.RunAt.Sub(now)))
	case h.Job.Status.Terminal():
		add(h.Job.EndedAt, string(h.Job.Status), "%s", End(h.Job))
	}
	for _, d := range h.Deliveries {
		add(d.CreatedAt, "webhook", "%s to %s", d.Event, d.URL)
		for _, try := range d.Tries {
			add(try.At, "try", "%d: %s%s%s", try.Number, Try(try), Form(try), trigger(try))
		}
		switch d.Status {
		case ringback.DeliveryDelivered:
			add(d.EndedAt, "delivered", "")
		case ringback.DeliveryDead:
			add(d.EndedAt, "dead", "%s", Dead(d.Reason))
		case ringback.DeliveryPending:
			if d.NextTryAt.After(now) {
				add(d.NextTryAt, "next", "next try, in %s", plain.Span(d.NextTryAt.Sub(now)))
			}
		}
	}
	return all
}

func accepted(job ringback.Job, now time.Time) string {
	text := "for " + job.RequestedModel
	if job.Priority > 0 {
		text += fmt.Sprintf(" · priority %d", job.Priority)
	}
	if job.ReplayOf != "" {
		text += " · a replay of job " + job.ReplayOf
	}
	if !job.Status.Terminal() {
		text += " · expires " + plain.When(job.ExpiresAt, now)
	}
	return text
}

func attempt(a ringback.Attempt, now time.Time) string {
	if a.Outcome == "" {
		text := "runs for " + plain.Span(now.Sub(a.StartedAt.Time))
		if a.FirstTokenAt.IsZero() {
			return text + ", nothing of an answer yet"
		}
		return text
	}
	text := fmt.Sprintf("%s after %s", a.Outcome, plain.Span(a.EndedAt.Sub(a.StartedAt.Time)))
	if a.Error != "" {
		text += " · " + a.Error // which includes the status, if there was one
	}
	return text
}

func trigger(try ringback.Try) string {
	switch try.Trigger {
	case ringback.TryManual:
		return " (asked for)"
	case ringback.TryProbe:
		return " (a probe of the host)"
	}
	return ""
}
