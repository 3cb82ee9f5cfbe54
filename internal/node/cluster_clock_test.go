package node_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/simulate"
)

// The clock of this machine is an hour ahead, or behind. All times are the store's, and
// nothing waits for an hour, nor comes an hour early.
func TestAClockThatIsAnHourWrongDoesNoHarm(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"an hour slow": time.Hour, "an hour fast": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster()
			c.ahead = ahead
			var way *link
			w := start(t, setup{
				node:     c.joining(&way, holdsFor(20*time.Millisecond)),
				unsigned: true, // its time is not the receiver's
				receiver: simulate.ReceiverConfig{Respond: []int{500, 200}},
			})
			now := func() time.Time { return time.Now().Add(ahead) }
			began := now().Add(-time.Millisecond)
			runAt := ringback.Time{Time: now().Add(600 * time.Millisecond)}
			jobs := []ringback.Job{
				w.ask("sim/echo", "now"),
				w.submit(ringback.Request{Model: "sim/echo", Prompt: "soon", RunAt: &runAt}),
				w.ask("sim/flaky-1", "again"),
				w.ask("sim/429", "held"), // Retry-After: 1, twice
			}
			var times []time.Time
			for _, j := range jobs {
				d := w.settledDelivery(j.ID)
				got := w.job(j.ID)
				if got.Status != ringback.Completed {
					t.Fatalf("%s: got %s", j.RequestedModel, got.Status)
				}
				seconds, nanos := uuid.MustParse(j.ID).Time().UnixTime()
				times = append(times, time.Unix(seconds, nanos), got.CreatedAt.Time, got.StartedAt.Time, got.EndedAt.Time, d.CreatedAt.Time, d.EndedAt.Time)
				for _, a := range w.ledger(j.ID) {
					times = append(times, a.StartedAt.Time, a.EndedAt.Time)
					if a.Outcome == answered {
						times = append(times, a.FirstTokenAt.Time)
					}
				}
				for _, try := range d.Tries {
					times = append(times, try.At.Time)
				}
				stamp, err := strconv.ParseInt(w.webhook(j.ID).Header.Get(ringback.HeaderWebhookTimestamp), 10, 64)
				must(t, err)
				times = append(times, time.Unix(stamp, 0).Add(time.Second))
			}
			ended := now().Add(time.Second)
			slices.SortFunc(times, time.Time.Compare)
			if first, last := times[0], times[len(times)-1]; first.Before(began) || last.After(ended) {
				t.Errorf("times: got %s to %s, want between %s and %s", first, last, began, ended)
			}
			if at := w.ledger(jobs[1].ID)[0].StartedAt; at.Before(runAt.Truncate(time.Millisecond)) {
				t.Errorf("run_at %s: it began at %s", runAt, at)
			}
			if took := ended.Sub(began); took > 15*time.Second {
				t.Errorf("it took %s: two pauses of a second were requested", took)
			}
		})
	}
}

func TestAHoldShowsItsTimeByTheOneClock(t *testing.T) {
	t.Parallel()
	c := newCluster()
	c.ahead = -time.Hour
	a, b, _, _ := c.pair(t, setup{}, gates)
	a.ask("sim/status-429?retry_after=600", "held")
	for _, w := range []*world{a, b} {
		w.eventually("the hold", func() bool { return len(w.node.Readiness().Holds) == 1 })
		if left := w.node.Readiness().Holds[0].Until.Sub(w.node.Now()); left < 9*time.Minute || left > 10*time.Minute {
			t.Errorf("the hold: %s are left, want 10 min", left)
		}
	}
}
