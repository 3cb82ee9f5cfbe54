//go:build unix

package e2e_test

import (
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/postgrestest"
	"github.com/ringback/ringback/internal/simulate"
)

// A reader may be at any node. When the one that runs the job is killed, the reader's
// connection stays open, and continues with the next attempt.
func TestReadersOutliveTheNodeThatRunsTheJob(t *testing.T) {
	t.Parallel()
	halfway := newBarrier(10, "half of it")
	c := newCluster(t, setup{barrier: halfway}, postgrestest.Database(t), 4)
	frontend, other, runs, next := c.nodes[0], c.nodes[1], c.nodes[2], c.nodes[3]
	frontend.open("--roles", "api")
	other.open("--roles", "api")
	runs.open("--roles", "worker")
	for _, n := range c.nodes[:3] {
		n.ready()
	}
	request := slowly("half of it")
	request.Stream = true
	id := frontend.submit(request)
	c.call(func(call simulate.Call) bool { return call.Prompt == "half of it" && call.Words >= 10 })

	readers := []*viewer{
		{endpoint: frontend.endpoint, job: id, over: transports}, {endpoint: frontend.endpoint, job: id, over: transports},
		{endpoint: other.endpoint, job: id, over: transports},
	}
	var reading errgroup.Group
	var begun sync.WaitGroup
	for _, r := range readers {
		begun.Add(1)
		reads := sync.OnceFunc(begun.Done)
		r.see = func(e ringback.StreamEvent) {
			if e.Delta != nil && e.Attempt == 1 {
				reads()
			}
		}
		reading.Go(func() error { return r.watchOnce(t.Context()) })
	}
	begun.Wait() // the first attempt's words come through
	runs.server.kill()
	next.open("--roles", "worker")
	halfway.lift()
	must(t, reading.Wait())
	job := frontend.ended(id)
	if job.Attempts != 2 {
		t.Errorf("attempts: got %d, want 2", job.Attempts)
	}
	for _, r := range readers {
		r.wantEnd(t, job)
		if !slices.ContainsFunc(r.events, func(e ringback.StreamEvent) bool { return e.Type == ringback.EventRetrying }) {
			t.Errorf("a reader was not told of the second attempt")
		}
	}
	late := &viewer{endpoint: other.endpoint, job: id, over: transports}
	must(t, late.watch(t.Context()))
	late.wantEnd(t, job)
}

// A node that is frozen while it runs a job is a zombie when it wakes up: another one has
// made the next attempt, with which readers elsewhere have continued by themselves.
func TestReadersOutliveANodeThatIsFrozen(t *testing.T) {
	t.Parallel()
	const prompt = "half of it, and frozen"
	halfway := newBarrier(10, prompt)
	c := newCluster(t, setup{barrier: halfway}, postgrestest.Database(t), 4)
	one, other, runs, next := c.nodes[0], c.nodes[1], c.nodes[2], c.nodes[3]
	for n, roles := range []string{"api", "api", "api,worker"} {
		c.nodes[n].open("--roles", roles)
		c.nodes[n].ready()
	}
	request := slowly(prompt)
	request.Stream = true
	id := one.submit(request)
	c.call(func(call simulate.Call) bool { return call.Prompt == prompt && call.Words >= 10 })

	viewers := []*viewer{
		{endpoint: one.endpoint, over: []transport{sseByHeader}}, {endpoint: other.endpoint, over: []transport{webSocket}},
		{endpoint: other.endpoint, over: []transport{goClient}}, {endpoint: runs.endpoint, over: transports},
	}
	var reading errgroup.Group
	var begun sync.WaitGroup
	for _, v := range viewers {
		begun.Add(1)
		reads := sync.OnceFunc(begun.Done)
		v.job, v.see = id, func(e ringback.StreamEvent) {
			if e.Delta != nil {
				reads()
			}
		}
		reading.Go(func() error { return v.watch(t.Context()) })
	}
	begun.Wait()
	frozen := time.Now()
	runs.server.signal(syscall.SIGSTOP)
	next.open("--roles", "worker")
	halfway.lift()
	job := one.ended(id)
	took := time.Since(frozen)
	runs.server.signal(syscall.SIGCONT)
	must(t, reading.Wait())
	if job.Attempts != 2 || job.Status != ringback.Completed {
		t.Errorf("the job is %s after %d attempts, want it completed after 2", job.Status, job.Attempts)
	}
	for i, v := range viewers {
		v.wantEnd(t, job)
		if elsewhere := i < 3; elsewhere && v.connections != 1 {
			t.Errorf("a reader at another node had %d connections, want one", v.connections)
		}
	}
	t.Logf("the job ended %s after its node was frozen", took)
	runs.server.terminate(syscall.SIGTERM)
}
