package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ringback/ringback"
)

const (
	// pollWait is how long the server holds one request of Wait, in whole seconds.
	pollWait = 60 * time.Second
	// pollTimeout ends one whose connection died without a word.
	pollTimeout = pollWait + 15*time.Second
	// The pauses after failures grow from the one to the other.
	firstPause = 100 * time.Millisecond
	maxPause   = 5 * time.Second
	// maxRetryAfter bounds what an answer may ask for.
	maxRetryAfter = time.Minute
)

// Wait returns a job once it has ended, however that went: its Status tells. It
// asks again while the server is away, is being restarted or is too busy
// ([ringback.Unavailable], [ringback.RateLimited]), for as long as ctx lasts: a
// wrong address shows at the end of ctx only. Any other error it returns at once.
func (c *Client) Wait(ctx context.Context, id string) (ringback.Job, error) {
	pause := firstPause
	for {
		asked := time.Now()
		job, err := c.poll(ctx, id)
		switch {
		case err == nil && job.Status.Terminal():
			return job, nil
		case err == nil && time.Since(asked) > maxPause:
			pause = firstPause // the server held the request: one that stops does not
		case err != nil && ctx.Err() == nil && !passing(err):
			return ringback.Job{}, err
		}
		if !sleep(ctx, max(retryAfter(err), pause/2+rand.N(pause/2+1))) {
			return ringback.Job{}, gaveUp(ctx, id, err)
		}
		pause = min(2*pause, maxPause)
	}
}

// gaveUp says why a wait ended without its job, and what the last try met, if
// that was something else.
func gaveUp(ctx context.Context, id string, last error) error {
	err := fmt.Errorf("wait for job %s: %w", id, context.Cause(ctx))
	if last != nil && !errors.Is(last, context.Cause(ctx)) {
		err = fmt.Errorf("%w; the last try: %w", err, last)
	}
	return err
}

func (c *Client) poll(ctx context.Context, id string) (ringback.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	return c.get(ctx, id, pollWait)
}

// passing says whether an error may be gone on another try: the server was not
// reached, or said so.
func passing(err error) bool {
	e, ok := errors.AsType[*ringback.Error](err)
	return !ok || e.Code == ringback.Unavailable || e.Code == ringback.RateLimited
}

func retryAfter(err error) time.Duration {
	e, ok := errors.AsType[*ringback.Error](err)
	if !ok {
		return 0
	}
	return min(time.Duration(e.RetryAfterSeconds)*time.Second, maxRetryAfter)
}

// sleep returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
