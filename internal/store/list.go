package store

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/tidwall/gjson"
)

// listFor is how long a list keeps looking before it returns what it has.
const listFor = 500 * time.Millisecond

// InWindows lists jobs, newest first, window by window: otherwise a filter that few rows
// pass would hold one query open over the whole table. look reads the rows of a window,
// before an id, and returns at most limit that pass, and the last row of the window; nil if
// there are no more after it.
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

// Windows is InWindows for results that the caller collects itself. look returns how many
// it has found, and the last row of its window. next is where to continue; nil if there are
// no more, or limit are found.
func Windows(start *uuid.UUID, limit int, look func(before uuid.UUID, limit int) (found int, last *uuid.UUID, err error)) (next *uuid.UUID, err error) {
	began := time.Now()
	before := uuid.Max
	if start != nil {
		before = *start
	}
	for found := 0; ; {
		n, last, err := look(before, limit-found)
		found += n
		if err != nil || last == nil || found >= limit {
			return nil, err
		}
		if before = *last; time.Since(began) > listFor {
			return last, nil
		}
	}
}

// FirstOf returns the lowest id that a delivery of a job, or of a later one, can have: the
// deliveries of a job have the first half of its id. For those of one job, FirstOf <= id <
// PastOf.
func FirstOf(job uuid.UUID) uuid.UUID { return withHalf(job, 0) }

// PastOf is the other end of FirstOf.
func PastOf(job uuid.UUID) uuid.UUID { return withHalf(job, 0xff) }

// Earlier returns the lower id.
func Earlier(a, b uuid.UUID) uuid.UUID {
	if bytes.Compare(b[:], a[:]) < 0 {
		return b
	}
	return a
}

func withHalf(id uuid.UUID, fill byte) uuid.UUID {
	for i := 8; i < len(id); i++ {
		id[i] = fill
	}
	return id
}

// HasMetadata reports whether a job's metadata has the wanted values, compared as text: a
// string by its content, anything else by its JSON.
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

// IDTime returns the time in a UUIDv7, with a margin for clocks that were set back.
func IDTime(id uuid.UUID) time.Time {
	var n int64
	for _, b := range id[:6] {
		n = n<<8 | int64(b)
	}
	return time.UnixMilli(n).Add(time.Minute)
}
