package ringback

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// StreamEvent is one event of a job as streams carry it: SSE, WebSocket and
// stream_to.
type StreamEvent struct {
	Type  EventType `json:"type"`
	JobID string    `json:"job_id"`
	EventID
	// Timestamp is when it happened; unset for deltas.
	Timestamp Time `json:"timestamp,omitzero"`
	// Model is the one that is called; only in job.started.
	Model string `json:"model,omitempty"`
	// Delta is set exactly for job.delta.
	*Delta
	// Job is the job as GET shows it, without Response; only in the event that ends it.
	Job *Job `json:"job,omitempty"`
}

// Delta is a piece of an answer. The pieces of one kind and index, joined, are one block of
// the answer; several blocks may grow at the same time.
type Delta struct {
	Kind DeltaKind `json:"kind"`
	// Index is the position of the block in the answer's content. In a chat completion,
	// tool input has the position of its call among the calls and all else has 0, unless
	// the content is a list whose parts grow one by one: those are counted.
	Index int `json:"index"`
	// Text is valid UTF-8 and not empty. A character is never split between two pieces.
	Text string `json:"text"`
}

// DeltaKind is the kind of block that a piece belongs to.
type DeltaKind string

// The kinds. The pieces of kind text, joined in the order of their indices, are the
// job's Result.
const (
	DeltaText      DeltaKind = "text"
	DeltaThinking  DeltaKind = "thinking"
	DeltaToolInput DeltaKind = "tool_input" // JSON, in pieces; none for an empty input
)

// EventID orders an event among those of its job: by attempt, then by number. The zero
// EventID comes before all of them.
type EventID struct {
	// Attempt is the one that the event belongs to; 0 for job.queued.
	Attempt int64 `json:"attempt"`
	// Number counts the events of the job from 1. After a process died with events that had
	// not been stored, it may be lower than before, under a higher attempt.
	Number int64 `json:"number"`
}

// String returns the form in which streams carry it: ATTEMPT-NUMBER.
func (id EventID) String() string {
	return strconv.FormatInt(id.Attempt, 10) + "-" + strconv.FormatInt(id.Number, 10)
}

// Compare returns a negative number if id comes before other, 0 if they are the same.
func (id EventID) Compare(other EventID) int {
	return cmp.Or(cmp.Compare(id.Attempt, other.Attempt), cmp.Compare(id.Number, other.Number))
}

// ParseEventID parses what String returns; "" is the zero EventID.
func ParseEventID(s string) (id EventID, err error) {
	if s == "" {
		return id, nil
	}
	attempt, number, _ := strings.Cut(s, "-")
	if id.Attempt, err = strconv.ParseInt(attempt, 10, 64); err == nil {
		id.Number, err = strconv.ParseInt(number, 10, 64)
	}
	if err != nil || id.Attempt < 0 || id.Number < 0 {
		return EventID{}, fmt.Errorf("%q is no event's id, which is ATTEMPT-NUMBER, such as 1-7", s)
	}
	return id, nil
}
