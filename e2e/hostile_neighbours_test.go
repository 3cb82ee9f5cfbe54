package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/simulate"
)

// neighbours are honest. They submit jobs at a steady pace, regardless of earlier ones, and
// measure the time from each submission to its webhook.
type neighbours struct {
	keeping, fresh *client.Client // with connections that are kept, and with a new one for each request
	callback       string

	mu    sync.Mutex
	count int
	jobs  map[string]*errand // by prompt
}

// errand is one job of a neighbour's.
type errand struct {
	sent  time.Time
	took  time.Duration // to its webhook; 0: it has not arrived
	comes int           // how often its webhook arrived
	wrong string        // what is wrong with it
}

// moveIn connects the neighbours to a world.
func (n *neighbours) moveIn(w *world) error {
	once := w.http.Transport.(*http.Transport).Clone()
	once.DisableKeepAlives = true
	var err error
	n.keeping, n.callback = w.api, w.callback
	n.fresh, err = client.New(client.Config{URL: "http://127.0.0.1", HTTPClient: &http.Client{Transport: once}})
	return err
}

// pace is the time between two submissions: 25 a second.
const pace = 40 * time.Millisecond

// receive handles a webhook.
func (n *neighbours) receive(d simulate.Delivery) {
	now := time.Now()
	result := gjson.GetBytes(d.Body, "result").Str
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.jobs[result] // the model returns the prompt
	if e == nil {
		return // a job of an enemy's
	}
	if e.comes++; e.comes == 1 {
		e.took = now.Sub(e.sent)
	}
	if d.Type != "job.completed" || d.Status != string(ringback.Completed) {
		e.wrong = d.Type + " " + d.Status
	}
}

// live has the neighbours submit for that long, waits for all results, and returns the
// times from submission to webhook.
func (n *neighbours) live(ctx context.Context, d time.Duration) ([]time.Duration, error) {
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed error
	prompts := []string{}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		prompt, c := n.next()
		prompts = append(prompts, prompt)
		all.Go(func() {
			_, err := c.Submit(ctx, ringback.Request{Prompt: prompt, Model: "sim/echo", CallbackURL: n.callback})
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
		})
	}
	all.Wait()
	if failed != nil {
		return nil, failed
	}
	return n.harvest(ctx, prompts)
}

func (n *neighbours) next() (prompt string, c *client.Client) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.count++
	prompt = fmt.Sprintf("errand %d of a neighbour's", n.count)
	n.jobs[prompt] = &errand{sent: time.Now()}
	if n.count%2 == 0 {
		return prompt, n.fresh
	}
	return prompt, n.keeping
}

// harvest waits for the webhooks of the jobs with these prompts.
func (n *neighbours) harvest(ctx context.Context, prompts []string) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !n.all(prompts) {
		if !sleep(ctx, 10*time.Millisecond) {
			return nil, errors.New("not all webhooks of the neighbours came")
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	var took []time.Duration
	for _, p := range prompts {
		took = append(took, n.jobs[p].took)
	}
	return took, nil
}

func (n *neighbours) all(prompts []string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !slices.ContainsFunc(prompts, func(p string) bool { return n.jobs[p].comes == 0 })
}

// faults returns what is wrong with the neighbours' webhooks.
func (n *neighbours) faults() (all []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for prompt, e := range n.jobs {
		if e.comes != 1 || e.wrong != "" {
			all = append(all, fmt.Sprintf("%s: its webhook came %d times %s", prompt, e.comes, e.wrong))
		}
	}
	return all
}

// p99 returns the time that 99 of 100 do not exceed.
func p99(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[int(math.Ceil(0.99*float64(len(took))))-1]
}
