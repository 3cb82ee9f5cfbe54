package dead

import (
	"context"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/cli/jobs"
	"github.com/ringback/ringback/internal/cli/remote"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
	"github.com/ringback/ringback/internal/why"
)

// outcomes counts what happened to dead deliveries that were sent again.
type outcomes struct {
	waiting int // still to be sent
	failed  int // dead as before, after the requested try
	example ringback.Delivery
}

// replayed waits until the matching dead deliveries have been sent again, as long as there
// is progress, and prints how many arrived. Deliveries that arrive leave the list.
func replayed(ctx context.Context, s *remote.Session, f ringback.DeadFilter, asked int) error {
	bar := s.NewPartsBar("sending")
	now, moved := outcomes{waiting: asked}, time.Now()
	for now.waiting > 0 && time.Since(moved) < jobs.RedeliverPatience {
		if err := backoff.Pause(ctx, 200*time.Millisecond); err != nil {
			bar.End()
			return exit.Errorf(exit.Interrupted, "interrupted; the webhooks are still being sent. To see which are left: %s", s.CommandLine("dead list --kind delivery"))
		}
		next, err := countOutcomes(ctx, s, f)
		if err != nil {
			bar.End()
			return err
		}
		if next.waiting != now.waiting {
			moved = time.Now()
		}
		now = next
		bar.Show(asked-min(asked, now.waiting), asked)
	}
	bar.End()
	arrived := max(0, asked-now.waiting-now.failed)
	if now.waiting+now.failed == 0 {
		s.Sayf("all %d arrived", arrived)
		return nil
	}
	example, words := now.example, ""
	if n := len(example.Tries); n > 0 && now.failed > 0 {
		words = " For instance " + plain.HostOf(example.URL) + " " + why.Try(example.Tries[n-1]) + "."
	}
	return exit.Errorf(exit.Failure, "%d of %d arrived, %d failed again, %d are still pending.%s%s What to do: %s",
		arrived, asked, now.failed, now.waiting, words, why.Held(example, time.Now()), s.CommandLine("jobs show %s", example.JobID))
}

// countOutcomes counts, among the deliveries that are still dead, those that were sent again.
func countOutcomes(ctx context.Context, s *remote.Session, f ringback.DeadFilter) (o outcomes, err error) {
	q := client.DeadQuery{DeadFilter: f, Limit: remote.PageSize}
	for {
		page, err := s.DeadDeliveries(ctx, q)
		if err != nil {
			return o, err
		}
		for _, d := range page.Data {
			switch n := len(d.Tries); {
			case d.Redelivering:
				o.waiting++
			case n > 0 && d.Tries[n-1].Trigger == ringback.TryManual:
				o.failed++
			default:
				continue
			}
			if o.example.ID == "" || !d.Redelivering && o.example.Redelivering {
				o.example = d
			}
		}
		if page.NextCursor == nil {
			return o, nil
		}
		q.Cursor = *page.NextCursor
	}
}
