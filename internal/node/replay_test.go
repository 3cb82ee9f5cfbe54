package node_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/intake"
	"github.com/ringback/ringback/internal/reading"
	"github.com/ringback/ringback/internal/simulate"
)

func (w *world) replay(id string, p intake.Patch) ringback.Job {
	w.t.Helper()
	j, err := w.node.Replay(w.within(), "default", id, p)
	must(w.t, err)
	return j
}

// died returns a job that failed after one attempt.
func (w *world) died(r ringback.Request) ringback.Job {
	w.t.Helper()
	if r.Model == "" {
		r.Model = "sim/status-400"
	}
	j := w.end(w.submit(r).ID)
	if j.Status != ringback.Failed {
		w.t.Fatalf("model %s: got %s, want failed", r.Model, j.Status)
	}
	return j
}

func TestADeadJobIsReplayedAsItWasAndLinkedBothWays(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	dead := w.died(ringback.Request{
		Prompt: "once more", Model: "sim/flaky-1", MaxAttempts: new(1), Metadata: []byte(`{"order":17}`), MaxTokens: new(77), Priority: new(3),
		CallbackHeaders: map[string]string{"X-Tenant": "blue"}, TimeoutSeconds: new(99),
		ProviderHeaders: map[string]string{"anthropic-beta": "new"},
	})
	again := w.replay(dead.ID, intake.Patch{})
	if again.ReplayOf != dead.ID || again.ID == dead.ID || again.Priority != 3 || string(again.Metadata) != `{"order":17}` || again.MaxAttempts != 1 {
		t.Errorf("the replay: got %+v", again)
	}
	hook := w.webhook(again.ID)
	if e := event(t, hook); e.Status != ringback.Completed || e.ReplayOf != dead.ID || hook.Header.Get("X-Tenant") != "blue" {
		t.Errorf("its webhook: got %+v", e)
	}
	after := w.end(dead.ID)
	if after.ReplayedBy != again.ID {
		t.Errorf("replayed_by: got %q, want %q", after.ReplayedBy, again.ID)
	}
	after.ReplayedBy = ""
	after.Webhook, dead.Webhook = nil, nil   // it was in progress
	after.StreamURL, dead.StreamURL = "", "" // a token of another second is another one
	if got, want := mustJSON(t, after), mustJSON(t, dead); got != want {
		t.Errorf("the dead one changed:\n%s\n%s", got, want)
	}
	calls := w.called("once more", 2)
	if !strings.Contains(string(calls.Body), `"max_tokens":77`) || calls.Header.Get("anthropic-beta") != "new" {
		t.Errorf("the request: got %s with %v", calls.Body, calls.Header)
	}
}

func TestAReplayIsChangedByAPatch(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	dead := w.died(ringback.Request{Prompt: "patched", Params: map[string]json.RawMessage{"temperature": []byte("0.70"), "top_k": []byte("5")}})
	again := w.replay(dead.ID, intake.Patch{
		Request:  []byte(`{"model":"sim/echo","temperature":null,"stop_sequences":["x"]}`),
		Settings: ringback.Request{TimeoutSeconds: new(1800), Priority: new(9), WebhookBody: ringback.WebhookThin},
		Given:    []string{"timeout_seconds", "priority", "webhook_body", "max_attempts"},
	})
	if again.RequestedModel != "sim/echo" || again.Priority != 9 || again.MaxAttempts != 3 {
		t.Errorf("the replay: got %+v", again)
	}
	j, err := w.node.Job(t.Context(), "default", again.ID, true)
	must(t, err)
	const want = `{"model":"sim/echo","max_tokens":4096,"messages":[{"role":"user","content":"patched"}],"top_k":5,"stop_sequences":["x"]}`
	if string(j.Request) != want {
		t.Errorf("request: got  %s\nwant %s", j.Request, want)
	}
	if e := event(t, w.webhook(again.ID)); e.Status != ringback.Completed || e.Result != nil {
		t.Errorf("its webhook: got %+v, want it thin", e)
	}
}

func TestWhatCannotBeReplayedIsAConflict(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	refuse := func(id string, code ringback.Code, p intake.Patch) string {
		t.Helper()
		_, err := w.node.Replay(t.Context(), "default", id, p)
		return fault(t, err, code).Message
	}
	refuse(w.end(w.submit(ringback.Request{}).ID).ID, ringback.Conflict, intake.Patch{})
	refuse("0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d", ringback.NotFound, intake.Patch{})
	refuse("17", ringback.NotFound, intake.Patch{})
	live := w.submit(ringback.Request{RunAt: &ringback.Time{Time: time.Now().Add(time.Hour)}})
	refuse(live.ID, ringback.Conflict, intake.Patch{})
	dead := w.died(ringback.Request{})
	later := intake.Patch{Settings: ringback.Request{RunAt: &ringback.Time{Time: time.Now().Add(time.Hour)}}, Given: []string{"run_at"}}
	again := w.replay(dead.ID, later)
	if message := refuse(dead.ID, ringback.Conflict, intake.Patch{}); !strings.Contains(message, again.ID) {
		t.Errorf("got %q, want it to name %s", message, again.ID)
	}
	_, err := w.node.Cancel(t.Context(), "default", again.ID)
	must(t, err)
	w.replay(dead.ID, intake.Patch{})
	must(t, w.node.Erase(t.Context(), "default", dead.ID))
	refuse(dead.ID, ringback.Gone, intake.Patch{})
}

func TestAPatchThatDoesNotFitIsRefusedByName(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	dead := w.died(ringback.Request{})
	for _, c := range []struct {
		field string
		patch intake.Patch
	}{
		{"model", intake.Patch{Request: []byte(`{"model":"nobody/knows"}`)}},
		{"model", intake.Patch{Request: []byte(`{"model":7}`)}},
		{"messages", intake.Patch{Request: []byte(`{"messages":[]}`)}},
		{"messages", intake.Patch{Request: []byte(`{"messages":null}`)}},
		{"stream", intake.Patch{Request: []byte(`{"stream":true}`)}},
		{"priority", intake.Patch{Settings: ringback.Request{Priority: new(10)}, Given: []string{"priority"}}},
		{"provider", intake.Patch{Settings: ringback.Request{Provider: "nobody"}, Given: []string{"provider"}}},
		{"callback_url", intake.Patch{Settings: ringback.Request{CallbackURL: "ftp://example.com"}, Given: []string{"callback_url"}}},
		{"callback_url", intake.Patch{Given: []string{"callback_url"}}},
		{"fallback_models[0]", intake.Patch{Settings: ringback.Request{FallbackModels: []string{"nobody/knows"}}, Given: []string{"fallback_models"}}},
	} {
		_, err := w.node.Replay(t.Context(), "default", dead.ID, c.patch)
		if e := fault(t, err, ringback.InvalidRequest); e.Field != c.field {
			t.Errorf("got field %q, want %q: %s", e.Field, c.field, e.Message)
		}
	}
}

func TestADeadWebhookIsSentOnceMore(t *testing.T) {
	t.Parallel()
	w := start(t, setup{receiver: simulate.ReceiverConfig{Respond: []int{410}}})
	j := w.end(w.submit(ringback.Request{CallbackURL: w.callback}).ID)
	d := w.settledDelivery(j.ID)
	if d.Status != ringback.DeliveryDead || d.Reason != ringback.DeadRefused {
		t.Fatalf("got %s, %q, want dead since the receiver refused", d.Status, d.Reason)
	}
	got, err := w.node.Redeliver(t.Context(), "default", j.ID, ringback.Redelivery{})
	must(t, err)
	if got.ID != d.ID {
		t.Errorf("redelivered: got %s, want %s", got.ID, d.ID)
	}
	w.eventually("a second try", func() bool { return len(w.delivery(j.ID).Tries) == 2 })
	if again := w.delivery(j.ID); again.Tries[1].Trigger != "manual" || again.Status != ringback.DeliveryDead || again.Reason != ringback.DeadRefused {
		t.Errorf("after it failed too: got %+v", again)
	}
	_, err = w.node.Redeliver(t.Context(), "default", w.end(w.submit(ringback.Request{Events: &[]ringback.EventType{}}).ID).ID, ringback.Redelivery{})
	fault(t, err, ringback.Conflict)
	must(t, w.node.Erase(t.Context(), "default", j.ID))
	_, err = w.node.Redeliver(t.Context(), "default", j.ID, ringback.Redelivery{})
	fault(t, err, ringback.Gone)
}

func TestAnErasedJobIsGone(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	j := w.end(w.submit(ringback.Request{Metadata: []byte(`{"secret":"word"}`)}).ID)
	w.webhook(j.ID)
	w.settledDelivery(j.ID)
	for range 2 {
		must(t, w.node.Erase(t.Context(), "default", j.ID))
	}
	_, err := w.node.Job(t.Context(), "default", j.ID, true)
	fault(t, err, ringback.Gone)
	live := w.submit(ringback.Request{RunAt: &ringback.Time{Time: time.Now().Add(time.Hour)}})
	fault(t, w.node.Erase(t.Context(), "default", live.ID), ringback.Conflict)
	fault(t, w.node.Erase(t.Context(), "default", "17"), ringback.NotFound)
}

func TestDeadLettersAreListedReplayedAndPurged(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	var dead []string
	for i := range 5 {
		dead = append(dead, w.died(ringback.Request{Metadata: mustRaw(t, map[string]int{"i": i % 2}), Events: &[]ringback.EventType{}}).ID)
	}
	list := func(f ringback.DeadFilter) (ids []string) {
		t.Helper()
		for p := (reading.DeadPage{Filter: f, Limit: 2}); ; {
			page, err := w.node.DeadJobs(t.Context(), "default", p)
			must(t, err)
			for _, j := range page.Data {
				ids = append(ids, j.ID)
			}
			if page.NextCursor == nil {
				return ids
			}
			p.Cursor = *page.NextCursor
		}
	}
	newest := slices.Clone(dead)
	slices.Reverse(newest)
	if got := list(ringback.DeadFilter{}); !slices.Equal(got, newest) {
		t.Errorf("dead jobs: got %v, want %v", got, newest)
	}
	odd := ringback.DeadFilter{Metadata: map[string]string{"i": "1"}}
	if got := list(odd); len(got) != 2 {
		t.Errorf("dead jobs with i=1: got %v, want 2", got)
	}

	_, err := w.node.ReplayDead(t.Context(), "default", ringback.DeadAction{}, intake.Patch{})
	if e := fault(t, err, ringback.InvalidRequest); e.Field != "all" {
		t.Errorf("without a filter: got field %q", e.Field)
	}
	_, err = w.node.ReplayDead(t.Context(), "default", ringback.DeadAction{All: true}, intake.Patch{Request: []byte(`{"model":"nobody/knows"}`)})
	if e := fault(t, err, ringback.InvalidRequest); e.Field != "model" {
		t.Errorf("with a bad patch: got field %q", e.Field)
	}
	done, err := w.node.ReplayDead(t.Context(), "default", ringback.DeadAction{DeadFilter: odd}, intake.Patch{Request: []byte(`{"model":"sim/echo"}`)})
	must(t, err)
	if done != (ringback.DeadDone{Matched: 2, Done: 2}) {
		t.Errorf("replayed: got %+v, want 2 of 2", done)
	}
	for _, id := range []string{dead[1], dead[3]} {
		if j := w.end(w.job(id).ReplayedBy); j.Status != ringback.Completed || j.RequestedModel != "sim/echo" {
			t.Errorf("the replay of %s: got %s of %s", id, j.Status, j.RequestedModel)
		}
	}

	done, err = w.node.PurgeDead(t.Context(), "default", ringback.DeadAction{All: true, Limit: new(2)})
	must(t, err)
	if done.Matched != 3 || done.Done != 2 || done.NextCursor == nil {
		t.Fatalf("purged: got %+v, want 2 of 3 and a cursor", done)
	}
	done, err = w.node.PurgeDead(t.Context(), "default", ringback.DeadAction{All: true, Cursor: *done.NextCursor})
	must(t, err)
	if done != (ringback.DeadDone{Done: 1}) || len(list(ringback.DeadFilter{})) != 0 {
		t.Errorf("purged the rest: got %+v, and %v are left", done, list(ringback.DeadFilter{}))
	}
}

func TestDeadDeliveriesAreListedSentOnceMoreAndPurged(t *testing.T) {
	t.Parallel()
	w := start(t, setup{receiver: simulate.ReceiverConfig{Respond: []int{410}}})
	var jobs []string
	for range 3 {
		j := w.end(w.submit(ringback.Request{CallbackURL: w.callback}).ID)
		w.settledDelivery(j.ID)
		jobs = append(jobs, j.ID)
	}
	deliveries := ringback.DeadFilter{Kind: ringback.DeadDelivery}
	page, err := w.node.DeadDeliveries(t.Context(), "default", reading.DeadPage{Filter: deliveries, Limit: 10})
	must(t, err)
	if len(page.Data) != 3 || page.Data[0].JobID != jobs[2] || len(page.Data[0].Tries) != 1 {
		t.Errorf("dead deliveries: got %+v", page.Data)
	}
	done, err := w.node.ReplayDead(t.Context(), "default", ringback.DeadAction{DeadFilter: deliveries, All: true}, intake.Patch{})
	must(t, err)
	if done.Done != 3 {
		t.Errorf("sent once more: got %+v, want 3", done)
	}
	for _, id := range jobs {
		w.eventually("a manual try", func() bool { return len(w.delivery(id).Tries) == 2 })
	}
	done, err = w.node.PurgeDead(t.Context(), "default", ringback.DeadAction{DeadFilter: deliveries, All: true})
	must(t, err)
	if done.Done != 3 {
		t.Errorf("purged: got %+v, want 3", done)
	}
	if j := w.job(jobs[0]); j.Result == nil {
		t.Error("the job's answer went with the webhook's bytes")
	}
	_, err = w.node.ReplayDead(t.Context(), "default", ringback.DeadAction{DeadFilter: deliveries, All: true}, intake.Patch{Request: []byte(`{}`)})
	if e := fault(t, err, ringback.InvalidRequest); e.Field != "patch" {
		t.Errorf("a patch for deliveries: got field %q", e.Field)
	}
	_, err = w.node.DeadDeliveries(t.Context(), "default", reading.DeadPage{Filter: ringback.DeadFilter{Kind: ringback.DeadDelivery, Model: "x"}, Limit: 1})
	if e := fault(t, err, ringback.InvalidRequest); e.Field != "model" {
		t.Errorf("deliveries by model: got field %q", e.Field)
	}
}

func mustRaw(t *testing.T, v any) json.RawMessage { return json.RawMessage(mustJSON(t, v)) }
