package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// blackHole accepts connections and never answers.
type blackHole struct {
	net.Listener

	url string
	mu  sync.Mutex
	all []net.Conn
}

func dig() (*blackHole, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &blackHole{Listener: l, url: "http://" + l.Addr().String()}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.mu.Lock()
			h.all = append(h.all, c)
			h.mu.Unlock()
		}
	}()
	return h, nil
}

func (h *blackHole) fill() {
	_ = h.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.all {
		_ = c.Close()
	}
}

const (
	deadReceiver = "dead receiver"
	// deadPatience is how long webhooks are waited for after the last submission.
	deadPatience = 15 * time.Second
)

// measureDead: jobs for ten receivers; one accepts connections and never answers.
// The other nine should not be affected: their jobs are counted, and compared with the same
// jobs when all ten work.
func measureDead(ctx context.Context, b *bench) error {
	for _, c := range b.present {
		if c.variant || ctx.Err() != nil {
			continue
		}
		if err := b.dead(ctx, c); err != nil {
			b.failed(deadReceiver, c.Name, err)
		}
	}
	return nil
}

func (b *bench) dead(ctx context.Context, c contender) error {
	u, err := b.start(ctx, c, options{})
	if err != nil {
		return err
	}
	defer u.stop()
	warm, err := b.flood(ctx, u, atOnce, promptSize, 50)
	if err != nil {
		return err
	}
	// Long enough for hanging deliveries to pile up, and no faster than half the
	// throughput.
	perSecond := min(warm/2, 400)
	n := int(perSecond * 6)
	well, err := b.ten(ctx, u, perSecond, n, false)
	if err != nil {
		return err
	}
	ill, err := b.ten(ctx, u, perSecond, n, true)
	if err != nil {
		return err
	}
	b.note(deadReceiver, c.Name, "all ten well: p99", "ms", quantile(well, 0.99)/1e6)
	b.note(deadReceiver, c.Name, "one dead: p99 of the nine", "ms", quantile(ill, 0.99)/1e6)
	b.note(deadReceiver, c.Name, "one dead: p50 of the nine", "ms", quantile(ill, 0.5)/1e6)
	return nil
}

// ten paces jobs over ten receivers and returns how long those of the first nine took, from
// submission to webhook.
func (b *bench) ten(ctx context.Context, u *up, perSecond float64, n int, oneDead bool) ([]int64, error) {
	receivers, closeAll, err := b.world.receivers(10)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	if oneDead {
		hole, err := dig()
		if err != nil {
			return nil, err
		}
		defer hole.fill()
		receivers[9] = hole.url
	}
	r := b.world.begin(atOnce, n, n-n/10)
	if !oneDead {
		r.want = int64(n)
	}
	s := newSubmitter(b.world, r, u.apis, promptSize)
	defer s.close()
	s.callback = func(n int) string { return fmt.Sprintf("%s/jobs/%d", receivers[n%10], n) }
	s.pace(ctx, 0, n, perSecond)
	if err := s.err(); err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, deadPatience)
	defer cancel()
	_ = r.wait(waiting) // jobs that have not arrived by then count as such
	var took []int64
	for i := range r.jobs {
		if i%10 == 9 {
			continue
		}
		p := &r.jobs[i]
		d := p.delivered.Load()
		if d == 0 {
			d = p.submitted.Load() + int64(deadPatience)
		}
		took = append(took, d-p.submitted.Load())
	}
	return took, nil
}
