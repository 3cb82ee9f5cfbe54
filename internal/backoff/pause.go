package backoff

import (
	"context"
	"time"
)

// Pause is Sleep for callers that return an error: it returns ctx's cause if ctx ended
// before d was over.
func Pause(ctx context.Context, d time.Duration) error {
	if !Sleep(ctx, d) {
		return context.Cause(ctx)
	}
	return nil
}
