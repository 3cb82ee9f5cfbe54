package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	live = "live"
	// direct is not a contender but the baseline for all: a reader of the provider's own
	// stream.
	direct = "direct"
	storm  = "2,000 readers of a finished job"
)

// shape is how many jobs are watched, and by how many readers each.
type shape struct {
	name      string
	profile   string
	jobs      int
	readers   int
	perSecond float64 // jobs that begin
	behaviour behaviour
	cost      string // the unit of the processor's time; "" where it is not measured
}

// The units of the processor's time.
const (
	perJob   = "ms a job"
	perEvent = "µs an event"
)

// shapes are paced so that a machine with two processors, which the bench uses too, is not
// simply saturated: that would measure the queue.
var shapes = []shape{
	{
		name: "one job", profile: "calm", jobs: 1, readers: 1, perSecond: 1,
		behaviour: behaviour{pause: 300 * time.Millisecond, stream: 2 * time.Second, pieces: 100, size: 2500},
	},
	{
		name: "1,000 jobs", profile: "jobs", jobs: 1000, readers: 1, perSecond: 1000,
		behaviour: behaviour{pause: time.Second, stream: 3 * time.Second, pieces: 30, size: 750},
		cost:      perJob,
	},
	{
		name: "1,000 readers", profile: "readers", jobs: 1, readers: 1000, perSecond: 1,
		behaviour: behaviour{pause: time.Second, stream: 2500 * time.Millisecond, pieces: 25, size: 625},
		cost:      perEvent,
	},
}

// stormy is how many readers come to a finished job at once, and what they find.
var stormy = shape{
	name: storm, profile: "storm", jobs: 1, readers: 2000, perSecond: 1,
	behaviour: behaviour{pieces: 100, size: 2500},
}

// measureLive: how long a piece of an answer takes from the provider to a reader, and how
// long many readers take to read an answer that is complete.
func measureLive(ctx context.Context, b *bench) error {
	if err := b.direct(ctx, shapes, stormy); err != nil {
		b.failed(live, direct, err)
	}
	if err := b.floor(ctx, shapes[len(shapes)-1], writeElsewhere); err != nil {
		b.failed(live, floor, err)
	}
	for _, c := range b.present {
		if !c.profiled || ctx.Err() != nil {
			continue
		}
		if err := b.live(ctx, c, shapes, stormy); err != nil {
			b.failed(live, c.Name, err)
		}
	}
	return nil
}

// direct lets readers connect to the provider itself.
func (b *bench) direct(ctx context.Context, shapes []shape, over shape) error {
	ask := func(ctx context.Context, n int) (request, error) {
		return func(ctx context.Context) (*http.Request, error) {
			body := fmt.Sprintf(`{"stream":true,"messages":[{"role":"user","content":"%s%d "}]}`, numbered, n)
			return http.NewRequestWithContext(ctx, http.MethodPost, b.world.ProviderURL+"/v1/messages", strings.NewReader(body))
		}, nil
	}
	for _, s := range shapes {
		s.behaviour.together = s.readers > 1
		r := b.world.begin(s.behaviour, s.jobs, s.jobs)
		seen, err := s.watch(ctx, r, ask)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		b.noteLate(direct, s, seen.late)
	}
	r := b.world.begin(over.behaviour, 1, 1)
	seen, err := over.watch(ctx, r, ask)
	if err != nil {
		return fmt.Errorf("%s: %w", storm, err)
	}
	b.note(live, direct, storm, "s", seen.took.Seconds())
	return nil
}

func (b *bench) live(ctx context.Context, c contender, shapes []shape, over shape) error {
	u, err := b.start(ctx, c, options{concurrency: 1250 * max(1, c.workers)}) // one node has room for all
	if err != nil {
		return err
	}
	defer u.stop()
	if _, err := b.flood(ctx, u, atOnce, promptSize, 100); err != nil {
		return err
	}
	known := func() bool { return len(u.apis) == 1 || gauge(u, "ringback_nodes") == float64(len(u.apis)) }
	if !await(ctx, known) {
		return fmt.Errorf("the nodes don't know each other: %w", ctx.Err())
	}
	for _, s := range shapes {
		if err := b.liveShape(ctx, u, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if err := b.storm(ctx, u, over); err != nil {
		return fmt.Errorf("%s: %w", storm, err)
	}
	return nil
}

// liveShape submits jobs and watches them. Jobs are submitted to the last node, and
// watched at the first, which does not run them where there are two.
func (b *bench) liveShape(ctx context.Context, u *up, s shape) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r := b.world.begin(s.behaviour, s.jobs, s.jobs)
	sub := newWatchedSubmitter(b.world, r, u)
	defer sub.close()
	before := measure(u.all()...)
	var seen watched
	err := b.profile.during(ctx, u, live+"-"+s.profile, func() (err error) {
		seen, err = s.watch(ctx, r, func(ctx context.Context, n int) (request, error) {
			if err := sub.submit(ctx, n); err != nil {
				return nil, err
			}
			return u.streamOf(sub.ids[n]), nil
		})
		return err
	})
	if err != nil {
		return err
	}
	if err := r.wait(ctx); err != nil {
		return err
	}
	spent := measure(u.all()...).CPU - before.CPU
	if err := u.runElsewhere(ctx, sub.ids); err != nil {
		return err
	}
	b.noteLate(u.Name, s, seen.late)
	switch s.cost {
	case perJob:
		b.note(live, u.Name, s.name+": processor", s.cost, float64(spent.Microseconds())/1e3/float64(s.jobs))
	case perEvent:
		b.note(live, u.Name, s.name+": processor", s.cost, float64(spent.Microseconds())/float64(s.readers*s.behaviour.pieces))
	}
	return nil
}

func (b *bench) noteLate(contender string, s shape, late []int64) {
	b.note(live, contender, s.name+": p50", "ms", quantile(late, 0.5)/1e6)
	b.note(live, contender, s.name+": p99", "ms", quantile(late, 0.99)/1e6)
}

// newWatchedSubmitter submits jobs to the last node, to be watched.
func newWatchedSubmitter(w *world, r *run, u *up) *submitter {
	s := newSubmitter(w, r, u.apis[len(u.apis)-1:], promptSize)
	s.ids, s.also = make([]string, len(r.jobs)), `,"stream":true`
	return s
}

// request makes the request that opens a stream.
type request func(ctx context.Context) (*http.Request, error)

// streamOf asks the first node for the events of a job.
func (u *up) streamOf(id string) request {
	return func(ctx context.Context) (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, u.apis[0]+"/api/jobs/"+id+"/stream", nil)
	}
}

// watched is what the readers saw.
type watched struct {
	late []int64       // how long each piece took to each reader, in nanoseconds
	took time.Duration // until the last reader had read everything, from when the first came or its job began
}

// watch begins the jobs and lets readers connect to each as soon as it has begun. It
// returns an error if a reader did not get the answer.
func (s shape) watch(ctx context.Context, r *run, begin func(ctx context.Context, n int) (request, error)) (seen watched, err error) {
	began := time.Now()
	all := make([]*reader, s.jobs*s.readers)
	group, ctx := errgroup.WithContext(ctx)
	atRate(ctx, s.jobs, s.perSecond, func(n int) {
		group.Go(func() error {
			ask, err := begin(ctx, n)
			if err != nil {
				return err
			}
			for i := range s.readers {
				i += n * s.readers
				group.Go(func() (err error) {
					if all[i], err = r.open(ctx, ask, i); err != nil {
						return err
					}
					return all[i].read(ctx, r)
				})
			}
			return nil
		})
	})
	if err := group.Wait(); err != nil {
		return seen, err
	}
	seen.took = time.Since(began)
	for i, rd := range all {
		its, err := rd.late(r, i/s.readers)
		if err != nil {
			return seen, err
		}
		seen.late = append(seen.late, its...)
	}
	return seen, nil
}

// open opens a stream for reader i. A reader that is told to come again does so soon.
func (r *run) open(ctx context.Context, ask request, i int) (*reader, error) {
	for {
		req, err := ask(ctx)
		if err != nil {
			return nil, err
		}
		rd, err := r.listenTo(ctx, req, i)
		if away := new(awayError); err == nil || !errors.As(err, &away) || away.status != http.StatusServiceUnavailable {
			return rd, err
		}
		r.away.Add(1)
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// storm lets many readers come at once to a job that has ended.
func (b *bench) storm(ctx context.Context, u *up, s shape) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r := b.world.begin(s.behaviour, s.jobs, s.jobs)
	sub := newWatchedSubmitter(b.world, r, u)
	defer sub.close()
	if err := sub.submit(ctx, 0); err != nil {
		return err
	}
	if err := r.wait(ctx); err != nil {
		return err
	}
	seen, err := s.watch(ctx, r, func(context.Context, int) (request, error) { return u.streamOf(sub.ids[0]), nil })
	if err != nil {
		return err
	}
	b.note(live, u.Name, storm, "s", seen.took.Seconds())
	b.note(live, u.Name, "… told to come again", "times", float64(r.away.Load()))
	return nil
}

// runElsewhere returns an error if one of some of these jobs ran at the first of two nodes,
// where its reader was.
func (u *up) runElsewhere(ctx context.Context, ids []string) error {
	if len(u.apis) == 1 {
		return nil
	}
	var nodes, ledger struct {
		Data []struct {
			ID, Node string
			Self     bool
		} `json:"data"`
	}
	if err := get(ctx, u.apis[0]+"/api/nodes", &nodes); err != nil {
		return err
	}
	selves := map[string]bool{}
	for _, n := range nodes.Data {
		selves[n.ID] = n.Self
	}
	for i := 0; i < len(ids); i += max(1, len(ids)/20) {
		if err := get(ctx, u.apis[0]+"/api/jobs/"+ids[i]+"/attempts", &ledger); err != nil {
			return err
		}
		for _, a := range ledger.Data {
			if selves[a.Node] {
				return fmt.Errorf("job %s ran at the node of its reader", ids[i])
			}
		}
	}
	return nil
}

// get reads a JSON response of an API.
func get(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
