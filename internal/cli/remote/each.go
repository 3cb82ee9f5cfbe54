package remote

import (
	"context"
	"errors"
	"fmt"

	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
)

// Each calls do for each id, even after one has failed. The error has the code of the first
// failure and says how many failed.
func (s *Session) Each(ctx context.Context, ids []string, do func(ctx context.Context, id string) error) error {
	if len(ids) == 1 {
		return do(ctx, ids[0])
	}
	var first *exit.Error
	failed := 0
	for i, id := range ids {
		err := s.Explain(ctx, do(ctx, id))
		if err == nil {
			continue
		}
		f, ok := errors.AsType[*exit.Error](err)
		if !ok {
			f = &exit.Error{Code: exit.Failure, Err: err}
		}
		if f.Code == exit.Interrupted {
			return exit.Errorf(exit.Interrupted, "interrupted after %d of %d", i, len(ids))
		}
		fmt.Fprintf(s.Talk, "%s: %v\n", plain.Printable(id), f)
		if first == nil {
			first = f
		}
		failed++
	}
	if first == nil {
		return nil
	}
	return exit.Errorf(first.Code, "%d of %d were not done, as said above; the others were", failed, len(ids))
}
