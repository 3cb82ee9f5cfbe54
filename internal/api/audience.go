package api

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
)

// An audience is those who read the events of one job in one way. Who has seen all that
// there is waits in it; what comes next is rendered once for all who wait, and written
// to each as far as its connection takes it at once. Who has not taken all goes on by
// itself until it has, and nobody waits for it.
type audience struct {
	server  *Server
	key     audienceKey
	members int // the lock of all audiences guards it

	mu      sync.Mutex
	waiting []*seat
	seen    ringback.EventID // by all who wait; some may have seen more, elsewhere
	waiter  node.Waiter      // shows what comes
	listens bool             // the log will wake it
}

// audienceKey tells apart who reads a job from who relays what this node writes of it.
type audienceKey struct {
	job   uuid.UUID
	by    transport
	relay bool
}

// audiences are those of the jobs that are read now.
type audiences struct {
	mu  sync.Mutex
	all map[audienceKey]*audience
}

// enter counts a reader in. It must leave before it closes its stream: while one is in,
// all that are in share one log.
func (as *audiences) enter(s *Server, key audienceKey) *audience {
	as.mu.Lock()
	defer as.mu.Unlock()
	a := as.all[key]
	if a == nil {
		a = &audience{server: s, key: key}
		a.waiter.Wake = a.show
		as.all[key] = a
	}
	a.members++
	return a
}

func (as *audiences) leave(a *audience) {
	as.mu.Lock()
	defer as.mu.Unlock()
	if a.members--; a.members == 0 {
		delete(as.all, a.key)
	}
}

// join lets a reader wait, if it has seen all that there is; otherwise it gives what
// comes next.
func (a *audience) join(t *seat) ([]ringback.StreamEvent, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.showNext() { // or the others would have seen less than this one
		a.mu.Unlock()
		a.mu.Lock()
	}
	if a.server.closing.Err() != nil {
		return nil, errClosing
	}
	events, err := t.Ready()
	if len(events) > 0 || err != nil {
		return events, err
	}
	if len(a.waiting) == 0 || t.After().Compare(a.seen) < 0 {
		a.seen = t.After()
	}
	t.waits, t.place = true, len(a.waiting)
	a.waiting = append(a.waiting, t)
	a.listen()
	return nil, nil
}

// listen has the log wake the audience when there is more than those who wait have
// seen. The caller holds the lock.
func (a *audience) listen() {
	if !a.listens {
		a.listens = true
		a.waiting[0].Await(a.seen, &a.waiter)
	}
}

// show brings what has come to all who wait.
func (a *audience) show() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.listens = false
	err := guard(func() error {
		for a.showNext() {
			a.mu.Unlock() // others want to come and go
			a.mu.Lock()
		}
		return nil
	})
	if err != nil {
		a.dismissAll(nil) // each meets it by itself
	}
}

// showNext brings some of what has come to all who wait; false, if there is nothing.
// The caller holds the lock.
func (a *audience) showNext() bool {
	if len(a.waiting) == 0 {
		return false
	}
	events, err := a.waiting[0].ReadyBehind(a.seen)
	switch {
	case err != nil:
		a.dismissAll(nil) // each hears it by itself
		return false
	case len(events) == 0:
		a.listen()
		return false
	}
	if last := len(events) - 1; a.waiting[0].IsLong(&events[last]) {
		if events = events[:last]; last == 0 {
			a.dismissAll(nil) // each writes it at its own pace
			return false
		}
	}
	for b, err := range a.server.batched(events, a.key.by) {
		if err != nil {
			a.dismissAll(err)
			return false
		}
		a.bring(b)
		a.seen = b.last.EventID
		b.drop()
	}
	return true
}

// bringEach is how many readers one goroutine writes to, where there are processors for
// several: a write takes a few microseconds.
const bringEach = 64

// bring writes a batch to those who wait. One that has seen some of it goes on by itself:
// it came here from another node, say, which knew more. The caller holds the lock.
func (a *audience) bring(b *batch) {
	took := make([]taken, len(a.waiting))
	tell := func(from, to int) {
		for i, t := range a.waiting[from:to] {
			if b.first.Compare(t.After()) > 0 {
				took[from+i] = t.take(t.of(b))
			}
		}
	}
	parts := max(1, min(runtime.GOMAXPROCS(0), len(took)/bringEach))
	var others sync.WaitGroup
	for i := 1; i < parts; i++ {
		others.Go(func() { tell(i*len(took)/parts, (i+1)*len(took)/parts) })
	}
	tell(0, len(took)/parts)
	others.Wait()
	for i, t := range slices.Backward(a.waiting) { // some may go
		switch {
		case b.first.Compare(t.After()) > 0:
			t.Pass(b.last)
			a.took(t, took[i], t.of(b), b)
		case b.last.Compare(t.After()) > 0, b.last.Job != nil:
			a.dismiss(t, nil)
		}
	}
}

// taken is how much of a text a reader has taken at once.
type taken struct {
	n   int
	err error
}

func (t *seat) take(text []byte) (all taken) {
	all.n, all.err = t.eager.write(text)
	return all
}

// took has a reader who has not taken all of a text wait no longer: it writes the rest by
// itself. The text is part of b, if that is not nil. The caller holds the lock.
func (a *audience) took(t *seat, all taken, text []byte, b *batch) {
	switch {
	case all.err != nil:
		a.dismiss(t, lost(all.err))
	case all.n < len(text):
		if b != nil {
			b.hold()
		}
		t.rest, t.restOf = text[all.n:], b
		a.dismiss(t, nil)
	}
}

// say tells a reader who waits something else, if it is not empty; false, if it waits no
// longer. An error is why it ends.
func (a *audience) say(t *seat, text []byte, over error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	waits := t.waits
	if waits && len(text) > 0 {
		a.took(t, t.take(text), text, nil)
	}
	if t.over = over; t.waits && over != nil {
		a.dismiss(t, nil)
	}
	return waits
}

// letGo has a reader leave, if it waits.
func (a *audience) letGo(t *seat, why error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t.waits {
		a.dismiss(t, why)
	}
}

func (a *audience) dismissAll(why error) {
	for _, t := range slices.Backward(a.waiting) {
		a.dismiss(t, why)
	}
}

// dismiss has a reader wait no longer: its goroutine goes on, or ends if why is not
// nil. The caller holds the lock.
func (a *audience) dismiss(t *seat, why error) {
	last := len(a.waiting) - 1
	a.waiting[t.place], a.waiting[last].place = a.waiting[last], t.place
	a.waiting[last] = nil
	a.waiting = a.waiting[:last]
	t.waits, t.why = false, why
	_ = t.conn.SetReadDeadline(time.Unix(1, 0)) // it reads
	if last == 0 && a.listens {
		a.listens = false
		t.Forget(&a.waiter)
	}
}

// waitsUntil gives a reader who waits a time to look up; false, if it waits no longer.
func (a *audience) waitsUntil(t *seat, at time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t.waits {
		_ = t.conn.SetReadDeadline(at) // it fails where reading will
	}
	return t.waits
}
