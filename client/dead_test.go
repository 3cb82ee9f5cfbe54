package client_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
)

// fail makes a job that fails at once.
func (w *world) fail(metadata string) ringback.Job {
	w.t.Helper()
	accepted, err := w.client.Submit(w.t.Context(), ringback.Request{Prompt: "Hi", Model: "sim/status-400", Events: noEvents, Metadata: []byte(metadata)})
	must(w.t, err)
	job, err := w.client.Wait(w.t.Context(), accepted.JobID)
	must(w.t, err)
	if job.Status != ringback.Failed {
		w.t.Fatalf("the job is %s, want failed", job.Status)
	}
	return job
}

func TestAFailedJobIsReplayedWithAPatch(t *testing.T) {
	t.Parallel()
	w := start(t)
	job := w.fail(`{}`)
	stored, err := w.client.GetWithRequest(t.Context(), job.ID)
	if err != nil || len(stored.Request) == 0 {
		t.Fatalf("its request: got %s, %v", stored.Request, err)
	}
	replay, err := w.client.Replay(t.Context(), job.ID, []byte(`{"model":"sim/echo"}`))
	if err != nil || replay.ReplayOf != job.ID || replay.RequestedModel != "sim/echo" {
		t.Fatalf("got %+v, %v", replay, err)
	}
	if got, err := w.client.Wait(t.Context(), replay.ID); err != nil || *got.Result != "Hi" {
		t.Errorf("the replay: got %+v, %v", got, err)
	}
	if old, err := w.client.Get(t.Context(), job.ID); err != nil || old.ReplayedBy != replay.ID || old.Status != ringback.Failed {
		t.Errorf("the dead one: got %+v, %v", old, err)
	}
	_, err = w.client.Replay(t.Context(), replay.ID, nil)
	if e, ok := errors.AsType[*ringback.Error](err); !ok || e.Code != ringback.Conflict {
		t.Errorf("a replay of a completed job: got %v", err)
	}
}

func TestAJobIsErased(t *testing.T) {
	t.Parallel()
	w := start(t)
	job := w.fail(`{}`)
	for range 2 {
		must(t, w.client.Erase(t.Context(), job.ID))
	}
	_, err := w.client.Get(t.Context(), job.ID)
	if e, ok := errors.AsType[*ringback.Error](err); !ok || e.Code != ringback.Gone {
		t.Errorf("got %v, want gone", err)
	}
}

func TestAWebhookIsSentOnceMore(t *testing.T) {
	t.Parallel()
	w := start(t)
	var status atomic.Int64
	status.Store(http.StatusGone) // which ends a delivery at once
	ids := make(chan string, 2)
	receiver := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.WriteHeader(int(status.Load()))
		ids <- r.Header.Get(ringback.HeaderWebhookID)
	}))
	t.Cleanup(receiver.Close)
	accepted, err := w.client.Submit(t.Context(), ringback.Request{Prompt: "Hi", CallbackURL: receiver.URL})
	must(t, err)
	id := <-ids
	var page ringback.Page[ringback.Delivery]
	eventually(t, "the delivery is dead", func() bool {
		page, err = w.client.DeadDeliveries(t.Context(), client.DeadQuery{DeadFilter: ringback.DeadFilter{Host: receiver.URL}})
		must(t, err)
		return len(page.Data) == 1
	})
	if d := page.Data[0]; d.ID != id || d.JobID != accepted.JobID || d.Reason != ringback.DeadRefused {
		t.Errorf("dead deliveries: got %+v", page.Data)
	}
	status.Store(http.StatusOK)
	delivery, err := w.client.Redeliver(t.Context(), accepted.JobID)
	if err != nil || delivery.ID != id {
		t.Errorf("got %+v, %v", delivery, err)
	}
	if again := <-ids; again != id {
		t.Errorf("it came again as %s, want %s", again, id)
	}
	elsewhere, err := w.client.Redeliver(t.Context(), accepted.JobID, client.ToURL(receiver.URL+"/elsewhere"), client.InForm(ringback.WebhookThin))
	if err != nil || elsewhere.ID == id || elsewhere.WebhookBody != ringback.WebhookThin {
		t.Errorf("elsewhere: got %+v, %v", elsewhere, err)
	}
	if there := <-ids; there != elsewhere.ID {
		t.Errorf("elsewhere it came as %s, want %s", there, elsewhere.ID)
	}
	eventually(t, "the list is empty", func() bool {
		page, err := w.client.DeadDeliveries(t.Context(), client.DeadQuery{})
		must(t, err)
		return len(page.Data) == 0
	})
}

func TestDeadJobsAreListedReplayedAndPurgedPartByPart(t *testing.T) {
	t.Parallel()
	w := start(t)
	begin := ringback.Time{Time: time.Now().Add(-time.Hour)}
	var want []string
	for i := range 4 {
		want = append(want, w.fail(fmt.Sprintf(`{"batch":"%d"}`, i/3)).ID)
	}
	slices.Reverse(want)
	q := client.DeadQuery{
		DeadFilter: ringback.DeadFilter{
			Model: "sim/status-400", Provider: "simulated", Code: ringback.CodeProviderRejected, CreatedAfter: &begin, EndedAfter: &begin,
			CreatedBefore: new(ringback.Time{Time: time.Now().Add(time.Hour)}), EndedBefore: new(ringback.Time{Time: time.Now().Add(time.Hour)}),
		},
		Limit: 3,
	}
	var got []string
	for {
		page, err := w.client.DeadJobs(t.Context(), q)
		must(t, err)
		for _, job := range page.Data {
			got = append(got, job.ID)
		}
		if page.NextCursor == nil {
			break
		}
		q.Cursor = *page.NextCursor
	}
	if !slices.Equal(got, want) {
		t.Errorf("the list: got %v, want %v", got, want)
	}

	action := ringback.DeadAction{
		DeadFilter: ringback.DeadFilter{Metadata: map[string]string{"batch": "0"}}, Patch: []byte(`{"model":"sim/echo"}`), Limit: new(2),
	}
	replayed, calls := 0, 0
	for {
		done, err := w.client.ReplayDead(t.Context(), action)
		must(t, err)
		replayed, calls = replayed+done.Done, calls+1
		if done.NextCursor == nil {
			break
		}
		action.Cursor = *done.NextCursor
	}
	if replayed != 3 || calls < 2 {
		t.Errorf("replayed %d in %d calls, want 3 in 2", replayed, calls)
	}
	done, err := w.client.PurgeDead(t.Context(), ringback.DeadAction{All: true})
	if err != nil || done.Matched != 1 || done.Done != 1 || done.NextCursor != nil {
		t.Errorf("purge: got %+v, %v", done, err)
	}
	_, err = w.client.PurgeDead(t.Context(), ringback.DeadAction{})
	if e, ok := errors.AsType[*ringback.Error](err); !ok || e.Code != ringback.InvalidRequest {
		t.Errorf("neither a filter nor all: got %v", err)
	}
}

// eventually polls until the condition holds, for at most 20 s.
func eventually(t *testing.T, what string, come func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !come() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("in 20 s it did not come that %s", what)
		}
	}
}
