//go:build unix

package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/sse"
)

// reader reads a job's events over SSE, through a door, until its end. It stands for
// any client: it knows nothing but the URL and Last-Event-ID.
type reader struct {
	door   *door
	job    string
	events []ringback.StreamEvent
	cuts   int // connections that ended before the job did
}

var errUnended = errors.New("the stream ended before the job")

// read reads to the job's end, over as many connections as that takes.
func (r *reader) read(ctx context.Context) error {
	for {
		err := r.readOnce(ctx, func(ringback.StreamEvent) bool { return true })
		if err == nil || ctx.Err() != nil {
			return err
		}
		r.cuts++
		pause(ctx, patience/2000)
	}
}

// readOnce reads over one connection until the job ends, or goOn says no.
func (r *reader) readOnce(ctx context.Context, goOn func(ringback.StreamEvent) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1/api/jobs/"+r.job+"/stream", nil)
	if err != nil {
		return err
	}
	if n := len(r.events); n > 0 {
		req.Header.Set("Last-Event-ID", r.events[n-1].EventID.String())
	}
	resp, err := r.door.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET the stream of job %s: %s", r.job, resp.Status)
	}
	for e, err := range sse.Read(resp.Body, sse.Limits{}) {
		if err != nil {
			return err
		}
		var event ringback.StreamEvent
		if err := json.Unmarshal(e.Data, &event); err != nil {
			return fmt.Errorf("%q is no event: %w", e.Data, err)
		}
		if e.ID != event.EventID.String() || e.Type != string(event.Type) {
			return fmt.Errorf("event %s %s came as %s %s", event.Type, event.EventID, e.Type, e.ID)
		}
		r.events = append(r.events, event)
		if event.Job != nil || !goOn(event) {
			return nil
		}
	}
	return errUnended
}

// text is what the reader has come to: that of the last attempt.
func (r *reader) text() string {
	var text strings.Builder
	for _, e := range r.events {
		switch {
		case e.Type == ringback.EventRetrying:
			text.Reset()
		case e.Delta != nil && e.Kind == ringback.DeltaText:
			text.WriteString(e.Text)
		}
	}
	return text.String()
}

// wantAnswer wants the reader to have seen each event once, in order, and to have come
// to the answer that is stored.
func (r *reader) wantAnswer(t *testing.T, want ringback.Job) {
	t.Helper()
	for i := 1; i < len(r.events); i++ {
		if before, e := r.events[i-1].EventID, r.events[i].EventID; e.Compare(before) <= 0 {
			t.Errorf("job %s: event %s came behind %s", r.job, e, before)
		}
	}
	last := r.events[len(r.events)-1]
	if last.Job == nil || last.Job.Status != want.Status || last.Type != ringback.EventOf(want.Status) {
		t.Errorf("job %s: the last event is %s %s, want the end, %s", r.job, last.Type, last.EventID, want.Status)
	}
	if want.Result != nil && r.text() != *want.Result {
		t.Errorf("job %s: read %q, want %q", r.job, r.text(), *want.Result)
	}
}
