package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	live = "live"
	// direct is no contender, but what all of them are beside: a reader of the
	// provider's own stream.
	direct = "direct"
	storm  = "2,000 readers of a finished job"
	idle   = "10,000 idle readers"
)

// shape is how many jobs are watched, and by how many readers each.
type shape struct {
	name      string
	profile   string
	jobs      int
	readers   int
	perSecond float64 // jobs that begin
	behaviour behaviour
	cost      string // the metric of the processor's time; "" for none
}

// shapes are paced so that a machine of two processors, which are the bench's too,
// is not simply busy: what is measured then is the queue.
var shapes = []shape{
	{
		name: "one job", profile: "calm", jobs: 1, readers: 1, perSecond: 1,
		behaviour: behaviour{pause: 300 * time.Millisecond, stream: 2 * time.Second, pieces: 100, size: 2500},
	},
	{
		name: "1,000 jobs", profile: "jobs", jobs: 1000, readers: 1, perSecond: 1000,
		behaviour: behaviour{pause: time.Second, stream: 3 * time.Second, pieces: 30, size: 750},
		cost:      "ms a job",
	},
	{
		name: "1,000 readers", profile: "readers", jobs: 1, readers: 1000, perSecond: 1,
		behaviour: behaviour{pause: time.Second, stream: 2500 * time.Millisecond, pieces: 25, size: 625},
		cost:      "µs an event",
	},
}

// stormy is how many readers come to a finished job at once, and what they find.
var stormy = shape{
	name: storm, profile: "storm", jobs: 1, readers: 2000, perSecond: 1,
	behaviour: behaviour{pieces: 100, size: 2500},
}

// measureLive: how long a piece of an answer takes from the provider to a reader,
// what readers cost who wait, and how long many take to read what is over.
func measureLive(ctx context.Context, b *bench) error {
	if err := b.direct(ctx); err != nil {
		b.failed(live, direct, err)
	}
	for _, c := range b.present {
		if !c.profiled || ctx.Err() != nil {
			continue
		}
		if err := b.live(ctx, c); err != nil {
			b.failed(live, c.Name, err)
		}
	}
	return b.withStores(func(c contender) error { return b.idle(ctx, c) }, idle)
}

// direct lets readers ask the provider itself.
func (b *bench) direct(ctx context.Context) error {
	ask := func(ctx context.Context, n int) (request, error) {
		return func(ctx context.Context) (*http.Request, error) {
			body := fmt.Sprintf(`{"stream":true,"messages":[{"role":"user","content":"%s%d "}]}`, numbered, n)
			return http.NewRequestWithContext(ctx, http.MethodPost, b.world.ProviderURL+"/v1/messages", strings.NewReader(body))
		}, nil
	}
	for _, s := range shapes {
		s.behaviour.together = s.readers > 1
		r := b.world.begin(s.behaviour, s.jobs, s.jobs)
		late, err := s.watch(ctx, r, ask)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		b.noteLate(direct, s, late)
	}
	r := b.world.begin(stormy.behaviour, 1, 1)
	if _, err := stormy.watch(ctx, r, ask); err != nil {
		return fmt.Errorf("%s: %w", storm, err)
	}
	b.note(live, direct, storm, "s", time.Since(r.start).Seconds())
	return nil
}

func (b *bench) live(ctx context.Context, c contender) error {
	u, err := b.start(ctx, c, options{concurrency: 1250 * max(1, c.workers)}) // one node has room for all
	if err != nil {
		return err
	}
	defer u.stop()
	if _, err := b.flood(ctx, u, atOnce, promptSize, 100); err != nil {
		return err
	}
	for _, s := range shapes {
		if err := b.liveShape(ctx, u, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if err := b.storm(ctx, u, stormy); err != nil {
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
	var late []int64
	err := b.profile.during(ctx, u, live+"-"+s.profile, func() (err error) {
		late, err = s.watch(ctx, r, func(ctx context.Context, n int) (request, error) {
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
	b.noteLate(u.Name, s, late)
	switch s.cost {
	case "ms a job":
		b.note(live, u.Name, s.name+": processor", s.cost, float64(spent.Microseconds())/1e3/float64(s.jobs))
	case "µs an event":
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
	s := newSubmitter(w, r, u.doors[len(u.doors)-1:], promptSize)
	s.ids, s.also = make([]string, len(r.jobs)), `,"stream":true`
	return s
}

// request makes the request that opens a stream.
type request func(ctx context.Context) (*http.Request, error)

// streamOf asks the first node for the events of a job.
func (u *up) streamOf(id string) request {
	return func(ctx context.Context) (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, u.doors[0]+"/api/jobs/"+id+"/stream", nil)
	}
}

// watch begins the jobs and lets readers come to each, as soon as it has begun. It
// gives how long the pieces took to all of them, in nanoseconds; an error, if one of
// them did not read the answer.
func (s shape) watch(ctx context.Context, r *run, begin func(ctx context.Context, n int) (request, error)) (late []int64, err error) {
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
		return nil, err
	}
	for i, rd := range all {
		its, err := rd.late(r, i/s.readers)
		if err != nil {
			return nil, err
		}
		late = append(late, its...)
	}
	return late, nil
}

// open opens a stream for reader i. One that is told to come again does so soon.
func (r *run) open(ctx context.Context, ask request, i int) (*reader, error) {
	for {
		req, err := ask(ctx)
		if err != nil {
			return nil, err
		}
		rd, err := r.listenTo(ctx, req, i)
		if away := new(turnedAway); err == nil || !errors.As(err, &away) || away.status != http.StatusServiceUnavailable {
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
	var began time.Time
	_, err := s.watch(ctx, r, func(context.Context, int) (request, error) {
		began = time.Now()
		return u.streamOf(sub.ids[0]), nil
	})
	if err != nil {
		return err
	}
	b.note(live, u.Name, storm, "s", time.Since(began).Seconds())
	b.note(live, u.Name, "… told to come again", "times", float64(r.away.Load()))
	return nil
}

// runElsewhere is an error if one of some of these jobs ran at the first of two nodes,
// where its reader was.
func (u *up) runElsewhere(ctx context.Context, ids []string) error {
	if len(u.doors) == 1 {
		return nil
	}
	var nodes, ledger struct {
		Data []struct {
			ID, Node string
			Self     bool
		} `json:"data"`
	}
	if err := get(ctx, u.doors[0]+"/api/nodes", &nodes); err != nil {
		return err
	}
	selves := map[string]bool{}
	for _, n := range nodes.Data {
		selves[n.ID] = n.Self
	}
	for i := 0; i < len(ids); i += max(1, len(ids)/20) {
		if err := get(ctx, u.doors[0]+"/api/jobs/"+ids[i]+"/attempts", &ledger); err != nil {
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

// get reads what a door says as JSON.
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

const (
	idlers   = 10_000
	vanished = idlers / 2
	// idleFiles is how many descriptors this process may need beside those.
	idleFiles = idlers + 4_000
	// idleFlood is how many seconds a flood beside them, or without them, takes about.
	idleFlood = 1.5
)

// idle: readers of as many jobs that are not due, of whom half vanish at once. What do
// they hold, do they give it back, and what do they cost those who work?
func (b *bench) idle(ctx context.Context, c contender) error {
	if err := allowFiles(idleFiles); err != nil {
		return err
	}
	u, err := b.start(ctx, c, options{})
	if err != nil {
		return err
	}
	defer u.stop()
	rate, err := b.warm(ctx, u)
	if err != nil {
		return err
	}
	jobs := int(rate * idleFlood)
	if err := b.floods(ctx, u, "jobs without readers", jobs, 2); err != nil {
		return err
	}
	ids, err := b.putOff(ctx, u, idlers)
	if err != nil {
		return err
	}
	b.holds(u, "before")
	crowd, err := b.seat(ctx, u, ids)
	if err != nil {
		return err
	}
	defer crowd.leave(idlers)
	b.note(idle, c.Name, "told to come again", "times", float64(b.world.run.Load().away.Load()))
	memory := b.holds(u, "with them").memory
	b.profile.snapshot(ctx, u, live+"-idle")
	w := watch(200*time.Millisecond, u.processes...)
	err = b.floods(ctx, u, "jobs beside them", jobs, 3)
	b.note(idle, c.Name, "memory, at most", "MB", max(memory, float64(w.end().peak)/1e6))
	if err != nil {
		return err
	}
	return b.vanish(ctx, u, crowd, jobs)
}

// floods notes what it gets through, times times.
func (b *bench) floods(ctx context.Context, u *up, metric string, jobs, times int) error {
	for range times {
		rate, err := b.flood(ctx, u, atOnce, promptSize, jobs)
		if err != nil {
			return err
		}
		b.note(idle, u.Name, metric, "/s", rate)
	}
	return nil
}

// vanish lets half of the crowd vanish, then the others.
func (b *bench) vanish(ctx context.Context, u *up, crowd *crowd, jobs int) error {
	before := measure(u.processes...).Descriptors
	began := time.Now()
	crowd.leave(vanished)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if !await(ctx, func() bool { return measure(u.processes...).Descriptors <= before-vanished+closing }) {
		return errors.New("the descriptors of those that have vanished are still open")
	}
	b.note(idle, u.Name, "5,000 vanish: their descriptors are closed after", "s", time.Since(began).Seconds())
	b.holds(u, "with 5,000")
	crowd.leave(idlers - vanished)
	if err := b.floods(ctx, u, "jobs without readers", jobs, 2); err != nil {
		return err
	}
	b.holds(u, "when all have left")
	return nil
}

// closing is how many descriptors may come and go meanwhile.
const closing = 50

// holds notes what its process holds now.
func (b *bench) holds(u *up, when string) held {
	use := measure(u.processes...)
	h := held{memory: float64(use.Memory) / 1e6, descriptors: float64(use.Descriptors), goroutines: goroutines(u)}
	b.note(idle, u.Name, "memory "+when, "MB", h.memory)
	b.note(idle, u.Name, "goroutines "+when, "", h.goroutines)
	b.note(idle, u.Name, "descriptors "+when, "", h.descriptors)
	return h
}

// putOff submits jobs that are not due.
func (b *bench) putOff(ctx context.Context, u *up, n int) ([]string, error) {
	r := b.world.begin(atOnce, n, n)
	s := newWatchedSubmitter(b.world, r, u)
	defer s.close()
	s.also += fmt.Sprintf(`,"run_at":"%s"`, time.Now().Add(24*time.Hour).UTC().Format(time.RFC3339))
	s.flood(ctx, 0, n, submitters)
	return s.ids, s.err()
}

// crowd are readers who wait.
type crowd struct {
	cancel []context.CancelFunc // of those who are here
	group  errgroup.Group
}

// seat opens a stream for each job, and reads it. The readers must be let go.
func (b *bench) seat(ctx context.Context, u *up, ids []string) (*crowd, error) {
	r := b.world.run.Load()
	all := &crowd{cancel: make([]context.CancelFunc, len(ids))}
	opening, within := errgroup.WithContext(ctx)
	opening.SetLimit(2 * submitters)
	for i, id := range ids {
		reading, cancel := context.WithCancel(ctx)
		all.cancel[i] = cancel
		opening.Go(func() error {
			rd, err := r.open(within, u.streamOf(id), i)
			if err != nil {
				return err
			}
			all.group.Go(func() error { return rd.read(reading, r) })
			return nil
		})
	}
	if err := opening.Wait(); err != nil {
		all.leave(len(ids))
		return nil, err
	}
	return all, nil
}

// leave lets n of the crowd vanish without a word, and the last wait for all.
func (c *crowd) leave(n int) {
	for _, cancel := range c.cancel[:min(n, len(c.cancel))] {
		cancel()
	}
	if c.cancel = c.cancel[min(n, len(c.cancel)):]; len(c.cancel) == 0 {
		_ = c.group.Wait() // they were cut off
	}
}

// allowFiles sees to it that this process, and those that it starts, may open n files.
func allowFiles(n uint64) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	if l.Cur >= n {
		return nil
	}
	l.Cur, l.Max = max(l.Max, n), max(l.Max, n)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("%d readers take %d open files, more than are allowed; as root: ulimit -n %d", idlers, n, n)
	}
	return nil
}
