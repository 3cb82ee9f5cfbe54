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
	// pollWait is how long the server holds each request of Wait, in whole seconds.
	pollWait = 60 * time.Second
	// pollTimeout ends a request whose connection died silently.
	pollTimeout = pollWait + 15*time.Second
	// The pauses after failures grow from firstPause to maxPause.
	firstPause = 100 * time.Millisecond
	maxPause   = 5 * time.Second
	// maxRetryAfter bounds the pause that a response may ask for.
	maxRetryAfter = time.Minute
)

// Wait returns a job once it has ended; its Status says how. It asks again while the server
// is down, restarting or too busy ([ringback.Unavailable], [ringback.RateLimited]), until
// ctx ends: a wrong address therefore shows only then. Any other error it returns at once.
func (c *Client) Wait(ctx context.Context, id string) (ringback.Job, error) {
	return await(ctx, "wait for job "+id, ended, func(ctx context.Context) (ringback.Job, error) {
		return c.get(ctx, id, pollWait)
	})
}

// SubmitAndWait submits a request and returns the job once it has ended, however that went.
// While the server is down or too busy it submits again, as [Client.Wait] asks again: under
// one [IdempotencyKey], which it makes if none is given, so that it stays one job. If ctx
// ends first, the job continues.
func (c *Client) SubmitAndWait(ctx context.Context, r ringback.Request, options ...SubmitOption) (ringback.Job, error) {
	header := http.Header{}
	IdempotencyKey(rand.Text())(header)
	for _, set := range options {
		set(header)
	}
	header.Set("Prefer", "wait="+strconv.Itoa(int(pollWait.Seconds())))
	accepted := func(job ringback.Job) bool { return job.ID != "" }
	job, err := await(ctx, "submit", accepted, func(ctx context.Context) (job ringback.Job, err error) {
		// The response is a job that has ended or, under the same names, an accepted one.
		err = c.call(ctx, http.MethodPost, "/api/generate", maps.Clone(header), r, &job)
		return job, err
	})
	if err != nil || ended(job) {
		return job, err
	}
	return c.Wait(ctx, job.ID)
}

func ended(job ringback.Job) bool { return job.Status.Terminal() }

// await asks for a job until enough reports true for it.
func await(ctx context.Context, what string, enough func(ringback.Job) bool, ask func(context.Context) (ringback.Job, error)) (ringback.Job, error) {
	pause := firstPause
	for {
		asked := time.Now()
		job, err := poll(ctx, ask)
		switch {
		case err == nil && enough(job):
			return job, nil
		case err == nil && time.Since(asked) > maxPause:
			pause = firstPause // the server held the request, which one that is stopping does not
		case err != nil && ctx.Err() == nil && !passing(err):
			return ringback.Job{}, err
		}
		if !sleep(ctx, max(retryAfter(err), pause/2+mathrand.N(pause/2+1))) {
			return ringback.Job{}, gaveUp(ctx, what, err)
		}
		pause = min(2*pause, maxPause)
	}
}

// gaveUp returns an error that says why an operation ended without its result, and the
// error of the last try, if that was another.
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

// passing reports whether an error may be gone on another try: the server was not reached,
// or said so.
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

// sleep reports whether d passed before ctx ended.
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
