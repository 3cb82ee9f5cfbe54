package ringback

// EventType names something that happened to a job.
type EventType string

// The events that end a job.
const (
	EventCompleted EventType = "job.completed"
	EventFailed    EventType = "job.failed"
	EventCancelled EventType = "job.cancelled"
	EventExpired   EventType = "job.expired"
)

// The events on the way there. They travel in streams; job.started and job.progress also as
// webhooks, if the request asks for them.
const (
	EventQueued   EventType = "job.queued"
	EventStarted  EventType = "job.started"
	EventDelta    EventType = "job.delta"    // a piece of the answer
	EventRetrying EventType = "job.retrying" // whatever came of earlier attempts is void
	EventProgress EventType = "job.progress" // a webhook only: the answer so far
)

// TerminalEvents are the webhooks that a request asks for by default.
var TerminalEvents = []EventType{EventCompleted, EventFailed, EventCancelled, EventExpired}

// EventOf names the event of a job that reached s; "" if s is not terminal.
func EventOf(s Status) EventType {
	if !s.Terminal() {
		return ""
	}
	return EventType("job." + string(s))
}

// Event is the body of a webhook: what happened to the job and when, and the job as GET
// shows it, without Webhook.
type Event struct {
	Type      EventType `json:"type"`
	Timestamp Time      `json:"timestamp"`
	// Attempt and Number order a job.started or job.progress among the job's events, as
	// EventID does: the greater comes later. 0 for all other events.
	Attempt int64 `json:"attempt,omitempty"`
	Number  int64 `json:"number,omitempty"`
	Job
}
