package node_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/reading"
	"github.com/ringback/ringback/internal/simulate"
)

func TestAWaitReturnsAtTheJobsEnd(t *testing.T) {
	t.Parallel()
	held := make(chan struct{})
	w := start(t, setup{hold: func(simulate.Call) <-chan struct{} { return held }})
	j := w.ask("sim/echo", "soon")
	w.called("soon", 1)
	got := make(chan ringback.Job)
	for range 3 {
		go func() {
			j, err := w.node.Wait(context.Background(), "default", j.ID, patience, false)
			if err != nil {
				t.Errorf("wait: %v", err)
			}
			got <- j
		}()
	}
	began := time.Now()
	close(held)
	for range 3 {
		if j := <-got; j.Status != ringback.Completed || *j.Result != "soon" {
			t.Errorf("got %s, want completed", j.Status)
		}
	}
	if time.Since(began) >= patience {
		t.Error("the end woke none of those that wait")
	}
}

func TestAWaitReturnsTheJobAsItIsWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: impatient})
	j := w.ask("sim/mute", "never")
	w.called("never", 1)
	began := time.Now()
	got, err := w.node.Wait(t.Context(), "default", j.ID, 50*time.Millisecond, true)
	if err != nil || got.Status != ringback.Running || len(got.Request) == 0 || time.Since(began) < 50*time.Millisecond {
		t.Errorf("after its time: got %s, %v; want running with its request", got.Status, err)
	}
	ctx, leave := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, leave)
	got, err = w.node.Wait(ctx, "default", j.ID, time.Hour, false)
	if got.Status != ringback.Running && !errors.Is(err, context.Canceled) { // it left before the first look
		t.Errorf("after its caller left: got %s, %v; want running", got.Status, err)
	}
	_, err = w.node.Wait(t.Context(), "another", j.ID, time.Hour, false)
	fault(t, err, ringback.NotFound)
	_, err = w.node.Wait(t.Context(), "default", "nothing", time.Hour, false)
	fault(t, err, ringback.NotFound)
}

func TestTheRequestIsShownOnlyWhenItIsAskedFor(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	j := w.end(w.ask("sim/echo", "verbatim").ID)
	if j.Request != nil {
		t.Errorf("not asked for: got %s", j.Request)
	}
	if got := w.job(j.ID); !strings.Contains(string(got.Request), `"content":"verbatim"`) {
		t.Errorf("asked for: got %s", got.Request)
	}
}

func TestJobsAreListedNewestFirstInPages(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	var want []string
	for i := range 7 {
		r := ringback.Request{Model: "sim/echo", Metadata: []byte(`{"kind":"even"}`)}
		if i%2 == 1 {
			r = ringback.Request{Model: "sim/status-400", Metadata: []byte(`{"kind":"odd"}`)}
		}
		j := w.end(w.submit(r).ID)
		want = slices.Insert(want, 0, j.ID)
	}
	var got []string
	q := reading.JobQuery{Limit: 3}
	for pages := 1; ; pages++ {
		page, err := w.node.Jobs(t.Context(), "default", q)
		must(t, err)
		for _, j := range page.Data {
			got = append(got, j.ID)
			if j.Result != nil || j.Response != nil || j.Request != nil {
				t.Errorf("an item has a body: %+v", j)
			}
			if j.Webhook == nil || j.Webhook.URL == "" {
				t.Errorf("an item does not show its webhook: %+v", j)
			}
		}
		if page.NextCursor == nil {
			break
		}
		if q.Cursor = *page.NextCursor; pages > 5 {
			t.Fatal("the list has no end")
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	middle := w.job(want[3]).CreatedAt.Time
	for what, c := range map[string]struct {
		q    reading.JobQuery
		want int
	}{
		"by status":     {reading.JobQuery{Status: ringback.Failed}, 3},
		"by model":      {reading.JobQuery{Model: "sim/echo"}, 4},
		"by metadata":   {reading.JobQuery{Metadata: map[string]string{"kind": "odd"}}, 3},
		"of nobody":     {reading.JobQuery{Metadata: map[string]string{"kind": "other"}}, 0},
		"created after": {reading.JobQuery{CreatedAfter: middle}, 3},
		"before":        {reading.JobQuery{CreatedBefore: middle}, 3},
	} {
		c.q.Limit = 100
		page, err := w.node.Jobs(t.Context(), "default", c.q)
		if err != nil || len(page.Data) != c.want {
			t.Errorf("%s: got %d, %v; want %d", what, len(page.Data), err, c.want)
		}
	}
	page, err := w.node.Jobs(t.Context(), "another", reading.JobQuery{Limit: 100})
	if err != nil || page.Data == nil || len(page.Data) != 0 {
		t.Errorf("another project: got %v, %v; want an empty list", page.Data, err)
	}
	_, err = w.node.Jobs(t.Context(), "default", reading.JobQuery{Limit: 3, Cursor: "x"})
	if e := fault(t, err, ringback.InvalidRequest); e.Field != "cursor" {
		t.Errorf("a cursor that is none: got %+v", e)
	}
}

func TestTheLedgerIsListedInPages(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	j := w.end(w.submit(ringback.Request{Model: "sim/flaky-4", MaxAttempts: new(5)}).ID)
	var got []int64
	cursor := ""
	for {
		page, err := w.node.Attempts(t.Context(), "default", j.ID, cursor, 2)
		must(t, err)
		if len(page.Data) > 2 {
			t.Fatalf("a page of %d, want 2 at most", len(page.Data))
		}
		for _, a := range page.Data {
			got = append(got, a.Number)
		}
		if page.NextCursor == nil {
			break
		}
		cursor = *page.NextCursor
	}
	if len(got) != 5 || !slices.IsSorted(got) {
		t.Errorf("got %v, want 5 attempts, oldest first", got)
	}
	_, err := w.node.Attempts(t.Context(), "default", j.ID, "x", 2)
	fault(t, err, ringback.InvalidRequest)
	_, err = w.node.Attempts(t.Context(), "another", j.ID, "", 2)
	fault(t, err, ringback.NotFound)
}

func TestTheAttemptThatRunsIsInTheLedger(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: impatient})
	j := w.ask("sim/mute", "runs")
	w.called("runs", 1)
	ledger := w.ledger(j.ID)
	if len(ledger) != 1 || ledger[0].Outcome != "" || !ledger[0].EndedAt.IsZero() || ledger[0].Node != w.node.ID() {
		t.Errorf("got %+v, want one that has no end", ledger)
	}
}

func TestDeliveriesAreListedWithTheirTries(t *testing.T) {
	t.Parallel()
	w := start(t, answering(500, 200))
	j := w.ask("sim/echo", "listed")
	d := w.settledDelivery(j.ID)
	if d.JobID != j.ID || d.Event != ringback.EventCompleted || len(d.Tries) != 2 || d.Tries[0].Error != "status" || d.Tries[1].Error != "" {
		t.Errorf("got %+v", d)
	}
	page, err := w.node.Deliveries(t.Context(), "default", j.ID, d.ID, 1)
	if err != nil || len(page.Data) != 0 || page.NextCursor != nil {
		t.Errorf("behind the last: got %+v, %v; want an empty page", page, err)
	}
	_, err = w.node.Deliveries(t.Context(), "default", j.ID, "x", 1)
	fault(t, err, ringback.InvalidRequest)
	_, err = w.node.Deliveries(t.Context(), "another", j.ID, "", 1)
	fault(t, err, ringback.NotFound)
	none := w.end(w.submit(ringback.Request{Events: &[]ringback.EventType{}}).ID)
	page, err = w.node.Deliveries(t.Context(), "default", none.ID, "", 1)
	if err != nil || page.Data == nil || len(page.Data) != 0 {
		t.Errorf("a job without: got %+v, %v; want an empty list", page, err)
	}
}
