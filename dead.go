package ringback

import "encoding/json"

// DeadKind is the kind of a dead letter: a job, or a delivery.
type DeadKind string

// The kinds of dead letters.
const (
	DeadJob      DeadKind = "job"      // failed, and not replayed or erased since
	DeadDelivery DeadKind = "delivery" // out of tries, and not delivered or erased since
)

// DeadFilter selects dead letters. Its zero value selects all dead jobs.
type DeadFilter struct {
	// Kind is the kind to select; "" means DeadJob.
	Kind DeadKind `json:"kind,omitempty"`
	// Model (the requested one), Provider, Code and Metadata apply to jobs only. Metadata
	// holds keys and values, compared as text.
	Model    string            `json:"model,omitempty"`
	Provider string            `json:"provider,omitempty"`
	Code     ErrorDetailCode   `json:"code,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
	// Host, the receiver's, as in https://example.com:8443, applies to deliveries only.
	Host          string `json:"host,omitempty"`
	CreatedAfter  *Time  `json:"created_after,omitempty"`
	CreatedBefore *Time  `json:"created_before,omitempty"`
	// EndedAfter and EndedBefore bound the time of death.
	EndedAfter  *Time `json:"ended_after,omitempty"`
	EndedBefore *Time `json:"ended_before,omitempty"`
}

// DeadAction is the body of POST /api/dead/replay and of DELETE /api/dead, which act on all
// dead letters that match.
type DeadAction struct {
	DeadFilter

	// All must be true where the filter has nothing but its kind.
	All bool `json:"all,omitempty"`
	// Patch changes the request of each replayed job: a JSON merge patch (RFC 7396), as in
	// POST /api/jobs/{id}/retry. Only for replays of jobs.
	Patch json.RawMessage `json:"patch,omitempty"`
	// Limit is how many dead letters this call handles; 1 to 10000, default 10000.
	Limit *int `json:"limit,omitempty"`
	// Cursor continues where the previous call ended.
	Cursor string `json:"cursor,omitempty"`
}

// DeadDone is the answer to a DeadAction.
type DeadDone struct {
	// Matched counts those that matched at the beginning; 0 in a call with a cursor.
	Matched int `json:"matched"`
	// Done counts those that the call has replayed or erased. Skipped counts those that it
	// left alone, since they had moved on meanwhile or can't be replayed.
	Done    int `json:"done"`
	Skipped int `json:"skipped"`
	// NextCursor continues with the rest; null when there is none.
	NextCursor *string `json:"next_cursor"`
}
