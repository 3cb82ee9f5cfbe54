package node_test

import (
	"slices"
	"testing"

	"github.com/ringback/ringback"
)

func TestAnAnswerComesBackByAWebhookSignedBothWays(t *testing.T) {
	w := start(t, setup{})
	j := w.submit(ringback.Request{Prompt: "Grüße 👋", Metadata: []byte(`{"order":17}`)})

	d := w.webhook(j.ID)
	if !d.Verified() {
		t.Errorf("signatures: simple %v, standard %v", d.SimpleErr, d.StandardErr)
	}
	e := event(t, d)
	if e.Type != ringback.EventCompleted || e.ID != j.ID || e.Result == nil || *e.Result != "Grüße 👋" || string(e.Metadata) != `{"order":17}` {
		t.Errorf("webhook: got %s", d.Body)
	}
	got := w.end(j.ID)
	if got.Status != ringback.Completed || *got.Result != "Grüße 👋" || got.Attempts != 1 || *got.QueueMS != 0 {
		t.Errorf("job: got %+v", got)
	}
	if want := []ringback.AttemptOutcome{ringback.AttemptAnswered}; !slices.Equal(w.outcomes(j.ID), want) {
		t.Errorf("ledger: got %v, want %v", w.outcomes(j.ID), want)
	}
}
