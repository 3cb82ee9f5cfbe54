package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/ringback/ringback"
)

// Outcome is what happens to a job: its end, or the next wait. The zero Outcome is invalid.
type Outcome struct {
	At time.Time
	// Attempt is the ledger's row of the attempt that ends; nil if none was running.
	// Number, Node, Provider, Model and StartedAt are filled in from the job.
	Attempt *ringback.Attempt
	// Status is terminal, or Queued.
	Status ringback.Status

	// For an end.
	Answer      Blob // the provider's whole message; completed only
	AnswerModel string
	Usage       json.RawMessage
	Error       string
	ErrorDetail *ringback.ErrorDetail
	// Delivery is the webhook that the end causes; nil for none.
	Delivery *NewDelivery

	// For a wait.
	RunAt time.Time
	// Failed counts the attempt against MaxAttempts.
	Failed bool
	// Refused notes the first refusal, from which MaxWait counts.
	Refused bool
	// NextModel, if set, is called from now on, at NextProvider. It is removed from
	// Fallbacks with those before it, and Failures and the wait for a provider that refuses
	// begin anew.
	NextModel, NextProvider string

	// Partial is the text that had arrived; empty keeps the previous one.
	Partial Blob
	// Events is the log so far of a streamed job's events; empty keeps the previous one.
	Events Blob
}

// Check returns an error if o is not an outcome that j can have; stores refuse those.
func (o Outcome) Check(j Job) error {
	switch {
	case j.Status.Terminal():
		return fmt.Errorf("job %s has ended: it has no further outcome", j.ID)
	case o.At.IsZero():
		return fmt.Errorf("outcome of job %s has no time", j.ID)
	case !o.Status.Terminal() && o.Status != ringback.Queued:
		return fmt.Errorf("outcome of job %s: %q is neither an end nor a wait", j.ID, o.Status)
	case j.Status == ringback.Running && o.Attempt == nil:
		return fmt.Errorf("outcome of job %s: its running attempt has none", j.ID)
	case (o.NextModel == "") != (o.NextProvider == ""):
		return fmt.Errorf("outcome of job %s: the next model needs its provider", j.ID)
	case j.Status == ringback.Queued && o.Attempt != nil:
		return fmt.Errorf("outcome of job %s: it has no running attempt", j.ID)
	}
	return nil
}

// Apply is the state machine: it returns the row of a queued or running job after o. It is
// pure; stores write what it returns, and the builder of a webhook's body uses it to know
// the job's next state.
func Apply(j Job, o Outcome, r Retention) Job {
	if o.Attempt != nil {
		j = closeAttempt(j, o)
	}
	if o.Failed {
		j.Failures++
	}
	if o.Status == ringback.Queued {
		return wait(j, o)
	}
	return end(j, o, r)
}

func closeAttempt(j Job, o Outcome) Job {
	j.DurationMS = max(0, o.At.Sub(j.StartedAt).Milliseconds())
	switch o.Attempt.Outcome {
	case ringback.AttemptRefused, ringback.AttemptReleased:
	case ringback.AttemptUncertain:
		j.Attempts++
		j.Uncertain++
	default:
		j.Attempts++
	}
	return j
}

// wait puts the job back into its lane, or into that of the next model. The fence of a
// running job advances: its former holder has lost it.
func wait(j Job, o Outcome) Job {
	if j.Status == ringback.Running {
		j.Fence++
	}
	j.Status, j.Node, j.RunAt = ringback.Queued, "", o.RunAt
	if o.NextModel != "" {
		j.Provider, j.Model, j.Failures = o.NextProvider, o.NextModel, 0
		if i := slices.Index(j.Fallbacks, o.NextModel); i >= 0 {
			j.Fallbacks = j.Fallbacks[i+1:]
		}
		j.FirstRefusedAt, j.EndBy = time.Time{}, j.ExpiresAt
	}
	if o.Refused && j.FirstRefusedAt.IsZero() {
		j.FirstRefusedAt = o.At
		if end := o.At.Add(j.Options.MaxWait); end.Before(j.EndBy) {
			j.EndBy = end
		}
	}
	return j
}

func end(j Job, o Outcome, r Retention) Job {
	j.Status, j.Node, j.EndedAt = o.Status, "", o.At
	j.AnswerModel, j.Usage, j.Error, j.ErrorDetail = o.AnswerModel, o.Usage, o.Error, o.ErrorDetail
	j.ContentUntil = o.At.Add(r.content(o.Status, j.Options.ResultTTL))
	return j
}
