package fanout

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/live"
	"github.com/ringback/ringback/internal/supervise"
)

// A fanout broadcasts the events of one job over one transport. Subscribers that are caught
// up wait here. New events are rendered once for all of them, and written to each without
// blocking. A subscriber whose connection does not accept all of it writes the rest itself,
// and nobody waits for it.
type fanout struct {
	readers *Readers
	key     fanoutKey
	members int // the lock of all fanouts guards it

	mu      sync.Mutex
	waiting []*subscriber
	seen    ringback.EventID // by all that wait; some may have seen more, elsewhere
	waiter  live.Waiter      // shows what comes
	listens bool             // the log will wake it
}

// fanoutKey is what the readers of a fanout have in common. Readers of a job are apart from
// nodes that relay what this node writes of it.
type fanoutKey struct {
	job   uuid.UUID
	by    Transport
	relay bool
}

// fanouts holds the fanout of each job that is being read.
type fanouts struct {
	mu  sync.Mutex
	all map[fanoutKey]*fanout
}

// enter adds a reader. It must leave before it closes its stream: while there is one, all share
// one log.
func (as *fanouts) enter(all *Readers, key fanoutKey) *fanout {
	as.mu.Lock()
	defer as.mu.Unlock()
	a := as.all[key]
	if a == nil {
		a = &fanout{readers: all, key: key}
		a.waiter.Wake = a.show
		as.all[key] = a
	}
	a.members++
	return a
}

func (as *fanouts) leave(a *fanout) {
	as.mu.Lock()
	defer as.mu.Unlock()
	if a.members--; a.members == 0 {
		delete(as.all, a.key)
	}
}

// join makes a reader wait if it has seen all that there is. Otherwise it returns what comes
// next.
func (a *fanout) join(t *subscriber) ([]ringback.StreamEvent, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.showNext() { // or the others would have seen less than this one
		a.mu.Unlock()
		a.mu.Lock()
	}
	if a.readers.Closing.Err() != nil {
		return nil, ErrClosing
	}
	events, err := t.Ready()
	if len(events) > 0 || err != nil {
		return events, err
	}
	if len(a.waiting) == 0 || t.After().Compare(a.seen) < 0 {
		a.seen = t.After()
	}
	t.waits, t.index = true, len(a.waiting)
	a.waiting = append(a.waiting, t)
	a.listen()
	return nil, nil
}

// listen makes the log wake the fanout when there is more than the waiting readers have seen.
// The caller holds the lock.
func (a *fanout) listen() {
	if !a.listens {
		a.listens = true
		a.waiting[0].Await(a.seen, &a.waiter)
	}
}

// show writes new events to all that wait.
func (a *fanout) show() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.listens = false
	err := supervise.Guard(func() error {
		for a.showNext() {
			a.mu.Unlock() // others want to come and go
			a.mu.Lock()
		}
		return nil
	})
	if err != nil {
		a.dismissAll(nil) // each meets it itself
	}
}

// showNext writes some of the new events to all that wait. It returns false if there are none.
// The caller holds the lock.
func (a *fanout) showNext() bool {
	if len(a.waiting) == 0 {
		return false
	}
	events, err := a.waiting[0].ReadyBehind(a.seen)
	switch {
	case err != nil:
		a.dismissAll(nil) // each meets it itself
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
	for b, err := range a.readers.chunked(events, a.key.by) {
		if err != nil {
			a.dismissAll(err)
			return false
		}
		a.broadcast(b)
		a.seen = b.last.EventID
		b.drop()
	}
	return true
}

// readersEach is how many readers one goroutine writes to at least, if there are processors
// for several: a write takes a few microseconds.
const readersEach = 64

// broadcast writes a chunk to the waiting subscribers. One that has seen some of it goes on by
// itself: it came here from another node, say, which had more. The caller holds the lock.
func (a *fanout) broadcast(b *chunk) {
	took := make([]taken, len(a.waiting))
	write := func(from, to int) {
		for i, t := range a.waiting[from:to] {
			if b.first.Compare(t.After()) > 0 {
				took[from+i] = t.take(t.of(b))
			}
		}
	}
	parts := max(1, min(runtime.GOMAXPROCS(0), len(took)/readersEach))
	var others sync.WaitGroup
	for i := 1; i < parts; i++ {
		others.Go(func() { write(i*len(took)/parts, (i+1)*len(took)/parts) })
	}
	write(0, len(took)/parts)
	others.Wait()
	for i, t := range slices.Backward(a.waiting) { // some may go
		switch {
		case b.first.Compare(t.After()) > 0:
			t.Advance(b.last)
			a.took(t, took[i], t.of(b), b)
		case b.last.Compare(t.After()) > 0, b.last.Job != nil:
			a.dismiss(t, nil)
		}
	}
}

// taken is how much of a text a reader accepted at once.
type taken struct {
	n   int
	err error
}

func (t *subscriber) take(text []byte) (all taken) {
	all.n, all.err = t.tryWrite.TryWrite(text)
	return all
}

// took dismisses a reader that has not taken all of a text, so that it writes the rest by
// itself. The text is part of b, if that is not nil. The caller holds the lock.
func (a *fanout) took(t *subscriber, all taken, text []byte, b *chunk) {
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

// say writes another text to a reader that waits, unless it is empty. It returns false if the
// reader had stopped waiting. An error is why the reader ends.
func (a *fanout) say(t *subscriber, text []byte, over error) bool {
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

// letGo dismisses a reader, if it waits.
func (a *fanout) letGo(t *subscriber, why error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t.waits {
		a.dismiss(t, why)
	}
}

func (a *fanout) dismissAll(why error) {
	for _, t := range slices.Backward(a.waiting) {
		a.dismiss(t, why)
	}
}

// dismiss ends a reader's waiting: its goroutine goes on, or ends if why is not nil. The caller
// holds the lock.
func (a *fanout) dismiss(t *subscriber, why error) {
	last := len(a.waiting) - 1
	a.waiting[t.index], a.waiting[last].index = a.waiting[last], t.index
	a.waiting[last] = nil
	a.waiting = a.waiting[:last]
	t.waits, t.why = false, why
	_ = t.conn.SetReadDeadline(time.Unix(1, 0)) // it reads
	if last == 0 && a.listens {
		a.listens = false
		t.Forget(&a.waiter)
	}
}

// waitsUntil sets the time at which a waiting reader wakes up. It returns false if the reader
// has stopped waiting.
func (a *fanout) waitsUntil(t *subscriber, at time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t.waits {
		_ = t.conn.SetReadDeadline(at) // fails where reading will
	}
	return t.waits
}
