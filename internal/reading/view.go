package reading

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// View returns a job's row as the API shows it, without its content.
func (r *Reader) View(j *store.Job) ringback.Job {
	v := ringback.Job{
		ID:              j.ID.String(),
		Status:          j.Status,
		Error:           j.Error,
		ErrorDetail:     j.ErrorDetail,
		Model:           j.Model,
		RequestedModel:  j.RequestedModel,
		Provider:        j.Provider,
		Usage:           j.Usage,
		Attempts:        j.Attempts,
		MaxAttempts:     j.Options.MaxAttempts,
		CreatedAt:       ringback.Time{Time: j.CreatedAt},
		StartedAt:       ringback.Time{Time: j.FirstStartedAt},
		EndedAt:         ringback.Time{Time: j.EndedAt},
		ExpiresAt:       ringback.Time{Time: j.ExpiresAt},
		ResultExpiresAt: ringback.Time{Time: j.ContentUntil},
		Priority:        j.Priority,
		ReplayOf:        optionalID(j.ReplayOf),
		ReplayedBy:      optionalID(j.ReplayedBy),
		Metadata:        j.Metadata,
		StatusURL:       r.statusURL(j.ID),
	}
	if j.AnswerModel != "" {
		v.Model = j.AnswerModel
	}
	if !j.FirstStartedAt.IsZero() {
		v.QueueMS = new(max(0, j.FirstStartedAt.Sub(j.CreatedAt).Milliseconds()))
	}
	if j.Status.Terminal() && !j.StartedAt.IsZero() {
		v.DurationMS = new(j.DurationMS)
	}
	if !j.Status.Terminal() {
		v.FallbackModels = j.Fallbacks
	}
	if j.Status == ringback.Queued {
		now := r.clock.Now()
		v.StatusReason = r.cfg.WaitReason(j, now)
		v.HeldBy = r.cfg.HeldBy(j, v.StatusReason)
		if j.RunAt.After(now) {
			v.RunAt = ringback.Time{Time: j.RunAt}
		}
	}
	if j.Status == ringback.Running && j.CancelRequested {
		v.StatusReason = "cancel_requested"
	}
	return v
}

// optionalID returns an id as text; "" for none.
func optionalID(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

// statusURL returns where the API shows a job.
func (r *Reader) statusURL(id uuid.UUID) string { return r.cfg.PublicURL + "/api/jobs/" + id.String() }

// ViewDelivery returns a delivery as the API shows it.
func (r *Reader) ViewDelivery(d *store.Delivery, tries []ringback.Try) ringback.Delivery {
	reason := d.Reason
	if d.Gone && d.Status == ringback.DeliveryDead {
		reason = ringback.DeadErased // whatever it died of, it can't be sent anymore
	}
	if tries == nil {
		tries = []ringback.Try{}
	}
	v := ringback.Delivery{
		ID: d.ID.String(), JobID: d.JobID.String(), Event: d.Event, URL: d.URL, Status: d.Status,
		CreatedAt: ringback.Time{Time: d.MadeAt}, NextTryAt: ringback.Time{Time: d.NextAt}, EndedAt: ringback.Time{Time: d.EndedAt},
		WebhookBody: d.Form, Redelivering: d.Manual, Reason: reason,
		LastStatusCode: d.LastStatusCode, LastError: lastError(tries), Tries: tries,
	}
	if d.Status == ringback.DeliveryPending || d.Manual {
		v.HostHold = r.cfg.HostHold(d.Key())
	}
	if d.Status == ringback.DeliveryDead {
		v.Error = deathSentence(reason, tries)
	}
	return v
}

// deathSentence returns why a delivery is dead.
func deathSentence(reason ringback.DeadReason, tries []ringback.Try) string {
	last := "there was no try"
	if len(tries) > 0 {
		y := tries[len(tries)-1]
		if last = "the last try failed: " + string(y.Error); y.StatusCode != 0 {
			last = fmt.Sprintf("the receiver answered the last try with %d", y.StatusCode)
		}
	}
	switch reason {
	case ringback.DeadTries:
		return "all tries of the schedule failed; " + last
	case ringback.DeadTooLarge:
		return "the receiver answered 413 to the smallest form, too: even the webhook without the answer is too large for it; " +
			"raise its limit and redeliver, or read the answer at status_url"
	case ringback.DeadExpired:
		return "its time ran out before a try succeeded; " + last
	case ringback.DeadErased:
		return "its bytes were deleted"
	}
	return "another try would fail the same way; " + last
}

// lastError returns the error class of the last of some tries.
func lastError(tries []ringback.Try) ringback.TryError {
	if len(tries) == 0 {
		return ""
	}
	return tries[len(tries)-1].Error
}

// viewWebhook returns a delivery as it is shown with its job; nil for nil.
func viewWebhook(d *store.Delivery) *ringback.Webhook {
	if d == nil {
		return nil
	}
	return &ringback.Webhook{
		URL: d.URL, Status: d.Status, Tries: d.Sent, LastStatusCode: d.LastStatusCode, NextTryAt: ringback.Time{Time: d.NextAt},
	}
}
