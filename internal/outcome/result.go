package outcome

import (
	"time"

	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/store"
)

// Result is the result of one attempt. It has one of three shapes, made by [Answered],
// [Failed] and [Stopped]; the zero Result is invalid.
type Result struct {
	kind    kind
	answer  *provider.Answer // of an answered one
	failure *provider.Error  // of a failed one; of a stopped one what had arrived, nil if nothing was sent
	stop    Stop             // of a stopped one
	sent    bool             // a byte of the request may have left

	// Kept is stored with the attempt, whatever its shape.
	Kept Kept
	// Refusal is what the gates say about a refused attempt, and about a stopped one whose
	// model is on hold.
	Refusal Refusal
}

// Kept is what is stored of an attempt besides its outcome.
type Kept struct {
	// FirstTokenAt is when the first piece of the answer arrived; zero if none did.
	FirstTokenAt time.Time
	// Partial is the text of an answer that broke off; empty if there was none.
	Partial store.Blob
	// Events is the log of a streamed job so far; empty for any other.
	Events store.Blob
}

// Refusal is what the gates of model and key say about a refused attempt.
type Refusal struct {
	// Until is when the job may be called again; the zero time means at once.
	Until time.Time
	// AtFault means that the job was refused repeatedly while others got answers.
	AtFault bool
}

type kind int

const (
	answered kind = iota + 1
	failed
	stopped
)

// Stop is why we ended a call ourselves, or did not begin it.
type Stop string

// The reasons.
const (
	// Interrupted: the node has lost its lease, or the job.
	Interrupted Stop = "interrupted"
	// Drained: the node is stopping.
	Drained Stop = "drained"
	// Cancelled: somebody cancelled the job.
	Cancelled Stop = "cancelled"
	// Unstarted: the stored request can't be read now, or this machine has run short.
	Unstarted Stop = "unstarted"
	// Crowded: others are already waiting for memory for requests as large as this one.
	Crowded Stop = "crowded"
	// OnHold: the job is suspect, and its model turned out to be on hold.
	OnHold Stop = "on_hold"
)

// Answered returns the result of a call that got an answer.
func Answered(a *provider.Answer) Result {
	return Result{kind: answered, answer: a, sent: true}
}

// Failed returns the result of a call that got none.
func Failed(f *provider.Error) Result {
	return Result{kind: failed, failure: f, sent: f.Sent}
}

// Stopped returns the result of a call that we ended ourselves. f is how the call ended;
// nil if it had not begun.
func Stopped(why Stop, f *provider.Error) Result {
	return Result{kind: stopped, stop: why, failure: f, sent: f != nil && f.Sent}
}

// Drain returns the result of an attempt that the drain ended before its own result was
// stored. The provider may have answered, so it is uncertain if a byte was sent.
func (r Result) Drain() Result {
	r.kind, r.stop, r.answer = stopped, Drained, nil
	r.Kept.FirstTokenAt = time.Time{}
	r.Refusal = Refusal{}
	return r
}

// Answer returns the answer, nil if there is none.
func (r *Result) Answer() *provider.Answer { return r.answer }

// Failure returns how the call failed, or how a call that was stopped ended; nil if it got
// an answer or had not begun.
func (r *Result) Failure() *provider.Error { return r.failure }

// Stop returns why we ended the call; "" if we did not.
func (r *Result) Stop() Stop { return r.stop }

// Sent reports whether a byte of the request may have left.
func (r *Result) Sent() bool { return r.sent }
