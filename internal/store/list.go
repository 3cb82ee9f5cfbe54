package store

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/tidwall/gjson"

	"github.com/ringback/ringback"
)

// Query selects jobs for a list.
type Query struct {
	Project       string
	Status        ringback.Status // "" for all
	Model         string          // the requested one or the answer's; "" for all
	CreatedAfter  time.Time
	CreatedBefore time.Time
	// Metadata holds key → value, compared as text.
	Metadata map[string]string
	// Before continues a list: only jobs older than this one.
	Before *uuid.UUID
	Limit  int
}

// DeadQuery selects dead letters.
type DeadQuery struct {
	Project string
	// Filter's Metadata is compared as in Query.
	Filter ringback.DeadFilter
	// Before continues a list: only those older than this one.
	Before *uuid.UUID
	Limit  int
}

// listFor is how long a list goes on looking before it gives what it has.
const listFor = 500 * time.Millisecond

// InWindows lists jobs, newest first, window by window: a filter that few rows pass
// would else hold one query open over the whole table. look looks at the rows of a
// window, before an id, and gives at most limit that pass, and the last row of the
// window; nil if there are no more behind it.
func InWindows(q Query, look func(before uuid.UUID, limit int) ([]Job, *uuid.UUID, error)) ([]Job, *uuid.UUID, error) {
	start := time.Now()
	before := uuid.Max
	if q.Before != nil {
		before = *q.Before
	}
	var found []Job
	for {
		jobs, last, err := look(before, q.Limit-len(found))
		if err != nil {
			return nil, nil, err
		}
		found = append(found, jobs...)
		switch {
		case len(found) == q.Limit:
			return found, &found[len(found)-1].ID, nil
		case last == nil:
			return found, nil, nil
		case time.Since(start) > listFor:
			return found, last, nil
		}
		before = *last
	}
}

// DeadInWindows is InWindows for dead letters. look gives how many it has found, and
// the last row of its window. next is where to go on; nil if there is nothing behind.
func DeadInWindows(q DeadQuery, look func(before uuid.UUID, limit int) (found int, last *uuid.UUID, err error)) (next *uuid.UUID, err error) {
	start := time.Now()
	before := uuid.Max
	if q.Before != nil {
		before = *q.Before
	}
	for found := 0; ; {
		n, last, err := look(before, q.Limit-found)
		found += n
		if err != nil || last == nil || found >= q.Limit {
			return nil, err
		}
		if before = *last; time.Since(start) > listFor {
			return last, nil
		}
	}
}

// HasMetadata tells whether a job's metadata has the values that a query wants,
// compared as text: a string by its content, anything else by its JSON.
func HasMetadata(metadata json.RawMessage, want map[string]string) bool {
	if len(want) == 0 {
		return true
	}
	missing := len(want)
	gjson.ParseBytes(metadata).ForEach(func(key, has gjson.Result) bool {
		if value, wanted := want[key.Str]; wanted && textOf(has) == value {
			missing--
		}
		return missing > 0
	})
	return missing == 0
}

func textOf(v gjson.Result) string {
	if v.Type == gjson.String {
		return v.Str
	}
	return v.Raw
}

// IDTime is the time in a UUIDv7, with room for clocks that were set back.
func IDTime(id uuid.UUID) time.Time {
	var n int64
	for _, b := range id[:6] {
		n = n<<8 | int64(b)
	}
	return time.UnixMilli(n).Add(time.Minute)
}
