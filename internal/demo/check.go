package demo

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/simulate"
)

// findings are the checks that failed, one sentence each.
type findings []string

func (f *findings) wantf(holds bool, format string, args ...any) {
	if !holds {
		*f = append(*f, fmt.Sprintf(format, args...))
	}
}

// check compares the server's ledger with what the provider and the receiver recorded.
func (d *demo) check(ctx context.Context) error {
	id := *d.job.Load()
	delivery, err := d.delivered(ctx, id)
	if err != nil {
		return err
	}
	job, err := d.client.Get(ctx, id)
	if err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	attempts, err := d.client.Attempts(ctx, id)
	if err != nil {
		return fmt.Errorf("read the ledger: %w", err)
	}
	var f findings
	f.job(job, attempts)
	f.delivery(delivery)
	calls := d.calls.Of(storyPrompt)
	f.calls(calls)
	f.received(slices.DeleteFunc(d.receiver.Deliveries(), func(got simulate.Delivery) bool { return got.JobID != id }), delivery.ID)
	f = append(f, d.receiver.Violations()...)
	if len(f) > 0 {
		return fmt.Errorf("not all of the story held:\n  %s", strings.Join(f, "\n  "))
	}
	d.screen.footf("1 job, 1 kill, 1 failing receiver: 1 answer. The 500 cost no provider call (%d in all, 1 cut by the kill).", len(calls))
	return nil
}

// delivered waits until the server has recorded that its webhook was delivered.
func (d *demo) delivered(ctx context.Context, id string) (ringback.Delivery, error) {
	for {
		deliveries, err := d.client.Deliveries(ctx, id)
		switch {
		case err != nil:
			return ringback.Delivery{}, fmt.Errorf("read the deliveries: %w", err)
		case len(deliveries) != 1:
			return ringback.Delivery{}, fmt.Errorf("the job has %d deliveries, not 1", len(deliveries))
		case deliveries[0].Status != ringback.DeliveryPending:
			return deliveries[0], nil
		}
		if err := backoff.Pause(ctx, poll); err != nil {
			return ringback.Delivery{}, fmt.Errorf("wait for the delivery to be settled: %w", err)
		}
	}
}

func (f *findings) job(job ringback.Job, attempts []ringback.Attempt) {
	f.wantf(job.Status == ringback.Completed, "the job is %s, not completed", job.Status)
	var outcomes []ringback.AttemptOutcome
	for _, a := range attempts {
		outcomes = append(outcomes, a.Outcome)
	}
	want := []ringback.AttemptOutcome{ringback.AttemptUncertain, ringback.AttemptAnswered}
	f.wantf(slices.Equal(outcomes, want), "the ledger says %v, not %v", outcomes, want)
	f.wantf(len(attempts) == 0 || attempts[0].Number == 1, "the ledger does not begin with attempt 1")
}

func (f *findings) delivery(delivery ringback.Delivery) {
	f.wantf(delivery.Status == ringback.DeliveryDelivered, "the webhook is %s, not delivered", delivery.Status)
	var codes []int
	for _, t := range delivery.Tries {
		codes = append(codes, t.StatusCode)
	}
	f.wantf(slices.Equal(codes, []int{http.StatusInternalServerError, http.StatusOK}), "the webhook's tries met %v, not a 500 and a 200", codes)
}

func (f *findings) calls(calls []simulate.Call) {
	f.wantf(len(calls) == 2, "the provider was called %d times, not 2", len(calls))
	for i, end := range []simulate.End{simulate.ClientLeft, simulate.Answered} {
		f.wantf(i >= len(calls) || calls[i].End == end, "provider call %d did not end as %q", i+1, end)
	}
}

func (f *findings) received(got []simulate.Delivery, id string) {
	f.wantf(len(got) == 2, "the receiver got %d webhooks, not 2", len(got))
	for _, g := range got {
		f.wantf(g.ID == id, "a webhook came as %s, not as %s", g.ID, id)
		f.wantf(g.Verified(), "a webhook's signatures did not verify")
		f.wantf(string(g.Body) == string(got[0].Body), "a webhook came with other bytes than the first")
		f.wantf(g.Type == string(ringback.EventCompleted), "a webhook is a %s", g.Type)
	}
}
