package conns

import (
	linked "container/list"
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/ringback/ringback/internal/metrics"
)

// Config configures a [Listener].
type Config struct {
	Most        int           // connections that are open at once
	IdleTimeout time.Duration // between two requests on a connection that comes back
	TooLarge    []byte        // the answer to a head that is too large, byte for byte
	Logger      *slog.Logger
	Metrics     *metrics.Listener
}

// A Listener bounds the connections that it has open. When there is no room for a new one,
// it closes another: among those that have not presented a key, the one idle for longest;
// otherwise among those that have and are waiting for a request. If all are being served,
// the new one waits. So strangers cannot shut anybody out, however many connections they
// open.
type Listener struct {
	net.Listener

	cfg     Config
	metrics *metrics.Listener
	back    chan *Conn     // those that come back with a further request
	over    chan struct{}  // closed at the end
	rest    sync.WaitGroup // those that may come back

	// Only Accept uses these.
	spare *os.File  // a descriptor that is given up when there are no others
	short time.Time // when one was last missing

	mu        sync.Mutex
	moved     sync.Cond // signalled when one leaves or may be closed, and at the end
	open      int
	strangers linked.List // of *Conn that have not presented a key; idle for longest first
	quiet     linked.List // of *Conn that have, and are waiting for a request; for longest first
	closed    bool
}

type connKey struct{}

// Of returns the connection of a request; nil if no [Listener] has accepted it.
func Of(r *http.Request) *Conn {
	c, _ := r.Context().Value(connKey{}).(*Conn)
	return c
}

// New makes a listener around l.
func New(l net.Listener, c Config) *Listener {
	bounded := &Listener{Listener: l, cfg: c, metrics: c.Metrics, back: make(chan *Conn), over: make(chan struct{})}
	bounded.moved.L = &bounded.mu
	bounded.keepSpare()
	return bounded
}

// Watch tracks the state of server's connections.
func (l *Listener) Watch(server *http.Server) {
	handler := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !Of(r).begin(r.ContentLength) {
			w.Header().Set("Connection", "close")
		}
		handler.ServeHTTP(w, r)
	})
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, conn)
	}
	server.ConnState = func(conn net.Conn, state http.ConnState) { l.note(conn.(*Conn), state) }
	server.RegisterOnShutdown(l.hurrySilent)
}

// Accept waits for a connection and for room for it.
func (l *Listener) Accept() (net.Conn, error) {
	conn, err := l.accept()
	if err != nil {
		return nil, err
	}
	c := &Conn{Conn: conn, listener: l}
	if !l.enter(c) {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	return c, nil
}

// enter waits until there is room; false if the listener was closed meanwhile.
func (l *Listener) enter(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.open >= l.cfg.Most && !l.closed {
		if !l.evict() {
			l.moved.Wait()
		}
	}
	if l.closed {
		return false
	}
	l.open++
	l.metrics.Open.Set(float64(l.open))
	c.place = l.strangers.PushBack(c)
	return true
}

// evict closes the connection that makes room for others; false if there is none. The
// caller holds the lock.
func (l *Listener) evict() bool {
	first := l.strangers.Front()
	if first == nil {
		first = l.quiet.Front()
	}
	if first == nil {
		return false
	}
	c := first.Value.(*Conn)
	l.leave(c)
	l.metrics.Evicted.Inc()
	_ = c.Conn.Close() // never waits: nothing lingers
	return true
}

// Close stops accepting. The connections stay.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	close(l.over)
	l.moved.Broadcast()
	return l.Listener.Close()
}

// Wait waits, after Close, for the connections that might have come back.
func (l *Listener) Wait() { l.rest.Wait() }

func (l *Listener) note(c *Conn, state http.ConnState) {
	switch state {
	case http.StateHijacked:
		c.takenOver()
	case http.StateIdle:
		if !c.idle() {
			_ = c.Close()
			return
		}
	case http.StateNew, http.StateActive, http.StateClosed:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c.silent = state == http.StateNew
	if state == http.StateNew || state == http.StateIdle {
		l.settle(c)
	}
}

// settle makes a connection evictable from now on, as the last of its kind. The caller
// holds the lock.
func (l *Listener) settle(c *Conn) {
	if c.left {
		return
	}
	l.unsettle(c)
	if c.trusted {
		c.place = l.quiet.PushBack(c)
	} else {
		c.place = l.strangers.PushBack(c)
	}
	l.moved.Signal()
}

// unsettle takes a connection off its list. The caller holds the lock.
func (l *Listener) unsettle(c *Conn) {
	switch {
	case c.place == nil:
	case c.trusted:
		l.quiet.Remove(c.place)
	default:
		l.strangers.Remove(c.place)
	}
	c.place = nil
}

// busy protects a connection that has presented a key while it is being served.
func (l *Listener) busy(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.trusted {
		l.unsettle(c)
	}
}

func (l *Listener) trust(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unsettle(c)
	c.trusted = true
}

// leave uncounts a connection, once. The caller holds the lock.
func (l *Listener) leave(c *Conn) {
	if c.left {
		return
	}
	c.left = true
	l.unsettle(c)
	l.open--
	l.metrics.Open.Set(float64(l.open))
	l.moved.Signal()
}

// mayRest reports whether a connection may wait for a further request.
func (l *Listener) mayRest(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || c.left {
		return false
	}
	_ = c.SetReadDeadline(time.Now().Add(l.cfg.IdleTimeout)) // fails where reading will
	l.rest.Add(1)
	c.silent = true
	l.settle(c)
	return true
}

// Returning returns a listener for the connections that come back.
func (l *Listener) Returning() net.Listener { return returning{l} }

type returning struct{ *Listener }

func (r returning) Accept() (net.Conn, error) {
	select {
	case c := <-r.back:
		return c, nil
	case <-r.over:
		return nil, net.ErrClosed
	}
}

// Close does nothing: the end of the listener ends it.
func (returning) Close() error { return nil }

// firstWord is how long, at the end, a connection that has sent nothing yet may still send
// something.
const firstWord = 50 * time.Millisecond

// hurrySilent makes connections that never sent a request end soon after the server's end
// has begun. Clients open some ahead of need, and Shutdown alone would wait 5 s for their
// first request.
func (l *Listener) hurrySilent() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, list := range []*linked.List{&l.strangers, &l.quiet} {
		for e := list.Front(); e != nil; e = e.Next() {
			if c := e.Value.(*Conn); c.silent {
				_ = c.SetReadDeadline(time.Now().Add(firstWord)) // it may have ended
			}
		}
	}
}
