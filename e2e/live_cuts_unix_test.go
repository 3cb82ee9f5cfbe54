//go:build unix

package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/ringback/ringback"
)

// letters are words in which bytes, runes and visible characters differ.
var letters = strings.Fields(`Ein größerer Versuch: naïve façade, Żółć w łóżku, 日本語 テキスト, 한국어, עברית, العربية,
	👩‍👩‍👧‍👦 👍🏽 e̗̰̽ ﬁn "quoted" <b>&amp;</b> \u0041 back\slash 𝄞 data: id: ` + "a\u2028b c\u00a0d tab\there\u0085 \ufeffbom")

// utterance returns a prompt of that many words, which models repeat.
func utterance(name string, words int) string {
	all := []string{name}
	for range words {
		all = append(all, letters[rand.IntN(len(letters))])
	}
	return strings.Join(all, " ")
}

// live returns the nth of many requests whose answers are watched while they are written:
// with one or several blocks; two of each ten break off and are tried again.
func live(n int) ringback.Request {
	r := ringback.Request{Stream: true, Prompt: utterance(fmt.Sprint("stream ", n), 50+rand.IntN(50)), Events: &[]ringback.EventType{}}
	// Its own model, so that no breaker delays it.
	own := fmt.Sprintf("first=%dus&pace=5ms", 1+n)
	switch n % 10 {
	case 3:
		r.Model = fmt.Sprintf("sim/blocks?%s&times=1&cut=%d", own, 1000+rand.IntN(5000))
	case 7:
		r.Model = fmt.Sprintf("sim/break-off-%d?%s&times=1", rand.IntN(40), own)
	case 5:
		r.Model = "sim/slow?words=80&" + own
	default:
		r.Model = "sim/blocks?" + own
	}
	return r
}

// cutAnywhere cuts that many first connections at any place.
func cutAnywhere(most int) func(int, net.Conn) net.Conn {
	return func(connection int, c net.Conn) net.Conn {
		switch {
		case connection >= most:
			return c
		case rand.IntN(4) == 0:
			return cutAfter(c, 1+rand.IntN(400)) // often in the middle of the headers
		default:
			return cutAfter(c, 1+rand.IntN(20_000))
		}
	}
}

// Each job has readers that are cut off at random and continue over another transport, and
// some that come late. All get exactly the answer that is stored, and the same events, each
// once and in order.
func TestCutReadersComeToTheStoredAnswer(t *testing.T) {
	t.Parallel()
	jobs := 150
	if long {
		jobs = 1000
	}
	w := newWorld(t, setup{})
	w.start("--concurrency", "256")
	w.ready()

	var g errgroup.Group
	g.SetLimit(200)
	connections, tried := make([]int, jobs), make([]int, jobs)
	for n := range jobs {
		g.Go(func() error {
			r := live(n)
			accepted, err := w.api.Submit(t.Context(), r)
			if err != nil {
				return err
			}
			viewers, err := w.watched(t.Context(), accepted.JobID)
			if err != nil {
				return fmt.Errorf("job %s (%s): %w", accepted.JobID, r.Model, err)
			}
			job, err := w.api.Get(t.Context(), accepted.JobID)
			if err != nil {
				return err
			}
			if job.Status != ringback.Completed {
				t.Errorf("job %s (%s) is %s: %s", job.ID, r.Model, job.Status, job.Error)
			}
			tried[n] = job.Attempts
			for _, v := range viewers {
				v.wantEnd(t, job)
				v.wantSame(t, viewers[0])
				connections[n] += v.connections
			}
			return nil
		})
	}
	must(t, g.Wait())
	sum := func(all []int) (n int) {
		for _, v := range all {
			n += v
		}
		return n
	}
	t.Logf("%d jobs, %d attempts, %d connections of readers", jobs, sum(tried), sum(connections))
	if got, want := sum(tried), jobs+jobs/5; got != want {
		t.Errorf("%d jobs took %d attempts, want %d: two of ten break off once", jobs, got, want)
	}
}

// watched has several viewers watch a job, one after another's end.
func (w *world) watched(ctx context.Context, job string) ([]*viewer, error) {
	viewers := []*viewer{
		{over: transports, wrap: cutAnywhere(12)},
		{over: transports, wrap: cutAnywhere(6)},
		{over: []transport{transports[rand.IntN(len(transports))]}},
		{over: []transport{goClient}, wrap: cutAnywhere(2)},
	}
	late := &viewer{over: transports, wrap: cutAnywhere(3)}
	viewers = append(viewers, late)
	var g errgroup.Group
	for _, v := range viewers {
		v.endpoint, v.job = w.endpoint, job
		if v != late {
			g.Go(func() error { return v.watch(ctx) })
		}
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return viewers, late.watch(ctx)
}

// The server is killed repeatedly under its readers, and restarted on what it left. They
// reconnect, and get the right answer.
func TestReadersOutliveKillsOfTheServer(t *testing.T) {
	t.Parallel()
	rounds := 1
	if long {
		rounds = 20
	}
	w := newWorld(t, setup{})
	s := w.start("--concurrency", "256")
	w.ready()
	told := 0
	for range rounds {
		// After more than two kills the job would be suspect: such jobs run one at a time.
		told += w.killedUnder(t, &s, 40, 2)
	}
	t.Logf("%d kills; readers were told of %d", 2*rounds, told)
	if told == 0 {
		t.Error("no reader was told of another attempt")
	}
}

// killedUnder has that many jobs watched, by three viewers each, and kills the server that
// often meanwhile. It returns how many readers saw another attempt.
func (w *world) killedUnder(t *testing.T, s **server, jobs, kills int) (told int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	midway := make(chan struct{}, 10*jobs) // something for each 40 pieces that a reader got
	viewers := make([][]*viewer, jobs)
	for n := range jobs {
		id := w.submit(ringback.Request{
			Stream: true, Prompt: utterance(fmt.Sprint("stream ", n), 150), Events: &[]ringback.EventType{},
			Model: fmt.Sprintf("sim/blocks?first=%dus&pace=10ms", 1+n), MaxAttempts: new(20),
		})
		for range 3 {
			v := &viewer{endpoint: w.endpoint, job: id, over: transports}
			if rand.IntN(3) == 0 {
				v.over = []transport{goClient}
			}
			v.see = func(ringback.StreamEvent) {
				if len(v.events)%40 == 0 {
					select {
					case midway <- struct{}{}:
					default:
					}
				}
			}
			viewers[n] = append(viewers[n], v)
			g.Go(func() error { return v.watch(ctx) })
		}
	}
	for range kills {
		for range jobs + rand.IntN(2*jobs) {
			select {
			case <-midway:
			case <-ctx.Done():
				t.Fatalf("the viewers got no further: %v", context.Cause(ctx))
			}
		}
		(*s).kill()
		*s = w.start("--concurrency", "256")
	}
	must(t, g.Wait())
	for _, of := range viewers {
		job := w.ended(of[0].job)
		if job.Status != ringback.Completed {
			t.Errorf("job %s is %s: %s", job.ID, job.Status, job.Error)
		}
		late := &viewer{endpoint: w.endpoint, job: job.ID, over: transports}
		must(t, late.watch(t.Context()))
		for _, v := range append(of, late) {
			v.wantEnd(t, job)
			if slices.ContainsFunc(v.events, func(e ringback.StreamEvent) bool { return e.Type == ringback.EventRetrying }) {
				told++
			}
		}
	}
	return told
}
