package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"strconv"
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
	return await(ctx, "wait for job "+id, ended, func(ctx context.Context) (ringback.Job, error) {
		return c.get(ctx, id, pollWait)
	})
}

// SubmitAndWait submits a request and returns the job once it has ended, however that
// went. While the server is away or too busy it submits and asks again, as
// [Client.Wait] does: under one [IdempotencyKey], which it makes if none is given, so
// that it is one job. If ctx ends first, the job goes on.
func (c *Client) SubmitAndWait(ctx context.Context, r ringback.Request, options ...SubmitOption) (ringback.Job, error) {
	header := http.Header{}
	IdempotencyKey(rand.Text())(header)
	for _, set := range options {
		set(header)
	}
	header.Set("Prefer", "wait="+strconv.Itoa(int(pollWait.Seconds())))
	accepted := func(job ringback.Job) bool { return job.ID != "" }
	job, err := await(ctx, "submit", accepted, func(ctx context.Context) (job ringback.Job, err error) {
		// A job that has ended, or with the same names what was accepted.
		err = c.call(ctx, http.MethodPost, "/api/generate", maps.Clone(header), r, &job)
		return job, err
	})
	if err != nil || ended(job) {
		return job, err
	}
	return c.Wait(ctx, job.ID)
}

func ended(job ringback.Job) bool { return job.Status.Terminal() }

// await asks for a job until it is as it should be.
func await(ctx context.Context, what string, enough func(ringback.Job) bool, ask func(context.Context) (ringback.Job, error)) (ringback.Job, error) {
	pause := firstPause
	for {
		asked := time.Now()
		job, err := poll(ctx, ask)
		switch {
		case err == nil && enough(job):
			return job, nil
		case err == nil && time.Since(asked) > maxPause:
			pause = firstPause // the server held the request: one that stops does not
		case err != nil && ctx.Err() == nil && !passing(err):
			return ringback.Job{}, err
		}
		if !sleep(ctx, max(retryAfter(err), pause/2+mathrand.N(pause/2+1))) {
			return ringback.Job{}, gaveUp(ctx, what, err)
		}
		pause = min(2*pause, maxPause)
	}
}

// gaveUp says why something ended without what it was to bring, and what the last try
// met, if that was something else.
func gaveUp(ctx context.Context, what string, last error) error {
	err := fmt.Errorf("%s: %w", what, context.Cause(ctx))
	if last != nil && !errors.Is(last, context.Cause(ctx)) && !errors.Is(last, ctx.Err()) {
		err = fmt.Errorf("%w; the last try: %w", err, last)
	}
	return err
}

func poll(ctx context.Context, ask func(context.Context) (ringback.Job, error)) (ringback.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	return ask(ctx)
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
