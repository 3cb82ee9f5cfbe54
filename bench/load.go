package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// numbered begins each prompt, before the job's number and a space.
const numbered = "job number "

// submitter submits the jobs of a run to a contender's API.
type submitter struct {
	client   *http.Client
	world    *world
	run      *run
	apis     []string // take jobs in turn
	filler   string   // of each prompt
	also     string   // further fields of each request, each behind a comma
	ids      []string // of the accepted jobs; nil where they are not needed
	callback func(n int) string
	refused  atomic.Int64
	lastErr  atomic.Value
}

// submitters is how many submit concurrently where the goal is to be as fast as possible.
const submitters = 50

func newSubmitter(w *world, r *run, apis []string, promptSize int) *submitter {
	return &submitter{
		client: &http.Client{
			Transport: &http.Transport{
				MaxIdleConnsPerHost: 4096, DisableCompression: true,
				DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			},
			Timeout: time.Minute,
		},
		world: w, run: r, apis: apis,
		filler:   strings.Repeat(words, promptSize/len(words)+1)[:promptSize],
		callback: w.callback,
	}
}

// submit submits job n and waits for its 202.
func (s *submitter) submit(ctx context.Context, n int) error {
	body := fmt.Appendf(nil, `{"prompt":"%s%d %s","model":"claude-bench","max_tokens":1024,"callback_url":"%s"%s}`, numbered, n, s.filler, s.callback(n), s.also)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.apis[n%len(s.apis)]+"/api/generate", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	s.run.jobs[n].submitted.CompareAndSwap(0, s.run.now())
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("the API says %s: %.200s", resp.Status, answer)
	}
	var accepted struct {
		JobID string `json:"job_id"`
	}
	if err := json.Unmarshal(answer, &accepted); err != nil || accepted.JobID == "" {
		return fmt.Errorf("a 202 without a job_id: %.200s", answer)
	}
	if s.ids != nil {
		s.ids[n] = accepted.JobID
	}
	s.run.jobs[n].accepted.Store(s.run.now())
	return nil
}

func (s *submitter) must(ctx context.Context, n int) {
	if err := s.submit(ctx, n); err != nil && ctx.Err() == nil {
		s.refused.Add(1)
		s.lastErr.Store(err)
	}
}

// err returns the last refusal; nil if there was none.
func (s *submitter) err() error {
	if s.refused.Load() == 0 {
		return nil
	}
	return fmt.Errorf("%d submissions failed, the last: %w", s.refused.Load(), s.lastErr.Load().(error)) //nolint:forcetypeassert // nothing else is stored
}

// flood submits the jobs from first up to, but not including, before, by many submitters,
// each as soon as its previous job is accepted.
func (s *submitter) flood(ctx context.Context, first, before, at int) {
	var next atomic.Int64
	next.Store(int64(first) - 1)
	var wg sync.WaitGroup
	for range at {
		wg.Go(func() {
			for ctx.Err() == nil {
				n := int(next.Add(1))
				if n >= before {
					return
				}
				s.must(ctx, n)
			}
		})
	}
	wg.Wait()
}

// pace submits jobs at a rate, whether or not earlier ones are accepted: a slow API does
// not reduce the number of callers.
func (s *submitter) pace(ctx context.Context, first, before int, perSecond float64) {
	var wg sync.WaitGroup
	atRate(ctx, before-first, perSecond, func(n int) {
		wg.Go(func() { s.must(ctx, first+n) })
	})
	wg.Wait()
}

// atRate calls begin for the numbers below n, each at its time.
func atRate(ctx context.Context, n int, perSecond float64, begin func(n int)) {
	start := time.Now()
	for i := 0; i < n && ctx.Err() == nil; i++ {
		due := time.Duration(float64(i) / perSecond * float64(time.Second))
		if wait := due - time.Since(start); wait > 0 {
			time.Sleep(wait)
		}
		begin(i)
	}
}

// close ends the connections.
func (s *submitter) close() { s.client.CloseIdleConnections() }
