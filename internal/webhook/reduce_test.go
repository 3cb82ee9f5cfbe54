package webhook

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/ringback/ringback"
)

// anEvent returns an event with every member that a form may leave out.
func anEvent() ringback.Event {
	return ringback.Event{
		Type: ringback.EventCompleted, Timestamp: ringback.Time{Time: time.Unix(1767225600, 0)},
		Job: ringback.Job{
			ID: "job_1", Status: ringback.Completed, Result: new("Grüße \u2028\"</b>"), Response: json.RawMessage(`{"response":1,"content":["a",{}]}`),
			Model: "m", RequestedModel: "m", Provider: "p", Metadata: json.RawMessage(`{"result":"mine","response":null,"partial_result":[1]}`),
			StatusURL: "/api/jobs/job_1",
		},
	}
}

func bodyOf(t *testing.T, e ringback.Event) string {
	t.Helper()
	body, err := Body(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestAReducedBodyIsTheOneThatWouldHaveBeenMade(t *testing.T) {
	full := anEvent()
	result := full
	result.Response = nil
	thin := result
	thin.Result = nil
	for form, want := range map[ringback.WebhookBody]string{
		"": bodyOf(t, full), ringback.WebhookFull: bodyOf(t, full), ringback.WebhookResult: bodyOf(t, result), ringback.WebhookThin: bodyOf(t, thin),
	} {
		if got := string(Reduce([]byte(bodyOf(t, full)), form)); got != want {
			t.Errorf("full reduced to %q:\n%s\nwant\n%s", form, got, want)
		}
	}
	if got := string(Reduce([]byte(bodyOf(t, result)), ringback.WebhookThin)); got != bodyOf(t, thin) {
		t.Errorf("result reduced to thin:\n%s\nwant the same as full reduced to thin:\n%s", got, bodyOf(t, thin))
	}
	if got := string(Reduce([]byte(bodyOf(t, thin)), ringback.WebhookResult)); got != bodyOf(t, thin) {
		t.Errorf("thin reduced to result: got %s, want it as it was", got)
	}
}

func TestOnlyAFormThatIsSmallerIsTriedNext(t *testing.T) {
	full := anEvent()
	failed := full
	failed.Result, failed.Response, failed.PartialResult = nil, nil, "A webhook"
	nothing := failed
	nothing.PartialResult = ""
	for _, c := range []struct {
		e    ringback.Event
		form ringback.WebhookBody
		want ringback.WebhookBody
	}{
		{full, ringback.WebhookFull, ringback.WebhookResult},
		{full, "", ringback.WebhookResult},
		{full, ringback.WebhookResult, ringback.WebhookThin},
		{full, ringback.WebhookThin, ""},
		{failed, ringback.WebhookFull, ringback.WebhookThin},
		{nothing, ringback.WebhookFull, ""},
	} {
		body := Reduce([]byte(bodyOf(t, c.e)), c.form)
		if got, ok := Smaller(body, c.form); got != c.want || ok != (c.want != "") {
			t.Errorf("behind %q of %s: got %q, want %q", c.form, body, got, c.want)
		}
	}
}
