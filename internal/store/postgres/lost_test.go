package postgres

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/postgrestest"
	"github.com/ringback/ringback/internal/store"
)

// cutter passes connections on to a server, and cuts them from time to time, with what is
// in transit in either direction.
type cutter struct {
	listener net.Listener
	to       string
	pairs    sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]bool
	cuts int
}

func newCutter(t testing.TB, database string) (_ *cutter, through string) {
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l, to: u.Host, open: map[net.Conn]bool{}}
	c.pairs.Go(c.accept)
	t.Cleanup(func() {
		l.Close()
		c.cut()
		c.pairs.Wait()
	})
	u.Host = l.Addr().String()
	return c, u.String()
}

func (c *cutter) accept() {
	for {
		in, err := c.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", c.to)
		if err != nil {
			in.Close()
			continue
		}
		c.mu.Lock()
		c.open[in], c.open[out] = true, true
		c.mu.Unlock()
		pass := func(to, from net.Conn) {
			io.Copy(to, from)
			to.Close()
			from.Close()
		}
		c.pairs.Go(func() { pass(out, in) })
		c.pairs.Go(func() { pass(in, out) })
	}
}

// cut ends all connections.
func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		conn.Close()
	}
	clear(c.open)
	c.cuts++
}

// fate is what a job's callers were told.
type fate struct{ submitted, refused, settled bool }

func TestConnectionsThatAreCutLoseNothing(t *testing.T) {
	database := postgrestest.Database(t)
	cutter, through := newCutter(t, database)
	s := open(t, Config{URL: through, Connections: 2})
	join(t, s, "a")
	var mu sync.Mutex
	fates := map[uuid.UUID]fate{}
	stop := make(chan struct{})
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				id, f := liveThrough(t, s)
				mu.Lock()
				fates[id] = f
				mu.Unlock()
			}
		})
	}
	for range 60 {
		time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond) // to hit anything
		cutter.cut()
	}
	close(stop)
	work.Wait()
	other := open(t, Config{URL: database})
	settled := 0
	for id, f := range fates {
		j, _, err := other.Job(t.Context(), "default", id, 0)
		switch {
		case f.submitted && err != nil:
			t.Errorf("job %s was accepted: got %v", id, err)
		case f.refused && !errors.Is(err, store.ErrNotFound):
			t.Errorf("job %s was refused, nothing changed: got it as %s, %v", id, j.Status, err)
		case f.settled && j.Status != ringback.Completed:
			t.Errorf("job %s was settled: got %s", id, j.Status)
		}
		if f.settled {
			settled++
			if attempts, err := other.Attempts(t.Context(), "default", id, 0, 10); err != nil || len(attempts) != 1 {
				t.Errorf("ledger of job %s: got %d rows, %v, want one", id, len(attempts), err)
			}
		}
	}
	if settled == 0 {
		t.Error("no job was settled between the cuts")
	}
	if err := other.Reconcile(t.Context()); err != nil {
		t.Error(err)
	}
	t.Logf("%d jobs, %d settled, %d cuts", len(fates), settled, cutter.cuts)
}

// liveThrough submits a job and settles it, repeating what failed without a connection.
func liveThrough(t *testing.T, s *Store) (uuid.UUID, fate) {
	n := newJob(t, "a")
	_, _, err := s.Submit(t.Context(), n)
	switch {
	case errors.Is(err, store.ErrUnavailable):
		return n.Job.ID, fate{refused: true}
	case errors.Is(err, store.ErrUnknown):
		return n.Job.ID, fate{}
	case err != nil:
		t.Errorf("Submit: %v", err)
		return n.Job.ID, fate{}
	}
	at := now()
	for {
		_, err := s.Settle(t.Context(), n.Job.Ref(), answered(at))
		if err == nil {
			return n.Job.ID, fate{submitted: true, settled: true}
		}
		if !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUnknown) {
			t.Errorf("Settle: %v", err)
			return n.Job.ID, fate{submitted: true}
		}
	}
}
