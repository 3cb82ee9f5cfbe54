package dead

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/cli/remote"
	"github.com/ringback/ringback/internal/exit"
)

// action returns the action on all that match the flags, if there are no ids.
func (f *filterFlags) action(ids []string, all bool, now time.Time) (ringback.DeadAction, error) {
	filter, err := f.read(now)
	a := ringback.DeadAction{DeadFilter: filter, All: all}
	empty := isEmpty(filter)
	switch {
	case err != nil:
		return a, err
	case len(ids) > 0 && (all || !empty || filter.Kind != ""):
		return a, errors.New("use either ids or filters, not both")
	case len(ids) > 0:
		return a, nil
	case !empty && all:
		return a, errors.New("--all cannot be combined with filters, which already select all that match; leave it out")
	case empty && !all:
		return a, errors.New("nothing is selected; use ids, a filter, or --all with --kind. To list dead letters: ringback dead list")
	case filter.Kind == "":
		return a, errors.New("add --kind job or --kind delivery")
	}
	return a, nil
}

// verb is what is done to dead letters in parts.
type verb struct {
	call          func(*client.Client, context.Context, ringback.DeadAction) (ringback.DeadDone, error)
	doing         string
	jobs          string // what was done to jobs
	deliveries    string // and to deliveries
	whySkipped    string
	afterJobs     string // the command that shows what happened to them
	afterDelivery string
	// outcome waits for the result of what was done; nil if there is nothing to wait for.
	outcome func(ctx context.Context, s *remote.Session, f ringback.DeadFilter, done int) error
}

var (
	replaying = verb{
		call: (*client.Client).ReplayDead, doing: "replaying", jobs: "repeated", deliveries: "sent again",
		whySkipped: "have moved on meanwhile, or cannot be replayed", afterJobs: "jobs watch", afterDelivery: "dead list --kind delivery",
	}
	purging = verb{
		call: (*client.Client).PurgeDead, doing: "purging", jobs: "erased", deliveries: "erased",
		whySkipped: "have moved on meanwhile",
	}
)

func (v verb) done(kind ringback.DeadKind) string {
	if kind == ringback.DeadDelivery {
		return v.deliveries
	}
	return v.jobs
}

func plural(kind ringback.DeadKind) string {
	if kind == ringback.DeadDelivery {
		return "deliveries"
	}
	return "jobs"
}

// part is how many dead letters one call handles: few enough that Ctrl-C works soon.
const part = 200

// partPatience limits one call. The server stops by itself after 20 s.
const partPatience = time.Minute

// inParts applies the action to all dead letters that match, in parts, with a bar. If ctx
// ends, it finishes the current part, so that the user knows how far it got.
func inParts(ctx context.Context, s *remote.Session, a ringback.DeadAction, v verb) error {
	a.Limit = new(part)
	var sum ringback.DeadDone
	bar := s.NewPartsBar(v.doing + " dead " + plural(a.Kind))
	err := func() error {
		for first := true; ; first = false {
			done, err := onePart(ctx, s, a, v)
			if err != nil {
				return err
			}
			if first {
				sum.Matched = done.Matched
			}
			sum.Done, sum.Skipped = sum.Done+done.Done, sum.Skipped+done.Skipped
			bar.Show(sum.Done+sum.Skipped, sum.Matched)
			if done.NextCursor == nil {
				return nil
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			a.Cursor = *done.NextCursor
		}
	}()
	bar.End()
	return partsDone(ctx, s, a.DeadFilter, v, sum, err)
}

func onePart(ctx context.Context, s *remote.Session, a ringback.DeadAction, v verb) (ringback.DeadDone, error) {
	if err := ctx.Err(); err != nil {
		return ringback.DeadDone{}, err
	}
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), partPatience)
	defer cancel()
	return v.call(s.Client, whole, a)
}

// partsDone prints what was done.
func partsDone(ctx context.Context, s *remote.Session, f ringback.DeadFilter, v verb, sum ringback.DeadDone, err error) error {
	kind := f.Kind
	if err != nil && sum.Matched == 0 {
		return err // nothing was done
	}
	text := fmt.Sprintf("%d of %d dead %s %s", sum.Done, sum.Matched, plural(kind), v.done(kind))
	if sum.Skipped > 0 {
		text += fmt.Sprintf("; %d were skipped: they %s", sum.Skipped, v.whySkipped)
	}
	if s.JSON {
		if err := s.PrintJSON(map[string]int{"matched": sum.Matched, "done": sum.Done, "skipped": sum.Skipped}); err != nil {
			return err
		}
	} else if err := s.Print(text + "\n"); err != nil {
		return err
	}
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return exit.Errorf(exit.Interrupted, "interrupted: %s; run the same command again to continue with the rest", text)
	case err != nil:
		explained := s.Explain(ctx, err)
		code := exit.Failure
		if f, ok := errors.AsType[*exit.Error](explained); ok {
			code = f.Code
		}
		return exit.Errorf(code, "%w\nBefore that: %s; run the same command again to continue with the rest", explained, text)
	}
	if sum.Matched == 0 && kind == ringback.DeadDelivery && v.afterDelivery != "" {
		s.Sayf("no dead delivery matches; webhooks that are still being tried: %s", s.CommandLine("deliveries list --status pending"))
	}
	if v.outcome != nil && sum.Done > 0 {
		return v.outcome(ctx, s, f, sum.Done)
	}
	after := v.afterJobs
	if kind == ringback.DeadDelivery {
		after = v.afterDelivery
	}
	if after != "" && sum.Done > 0 {
		s.Sayf("to see how they end: %s", s.CommandLine("%s", after))
	}
	return nil
}
