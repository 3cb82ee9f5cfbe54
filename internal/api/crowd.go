package api

import (
	linked "container/list"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// A crowd is a listener with a bound on the connections that it has open. One
// more than there is room for waits, accepted, until another one leaves. It need
// not wait for those that are quiet, which are in no handler: they wait for a
// request, or send one byte by byte. The one that has been so for longest has to
// go. So idle connections, however many a stranger opens, shut nobody out.
type crowd struct {
	net.Listener
	most int

	back chan *guest    // those that come back with a further request
	over chan struct{}  // closed at the end
	rest sync.WaitGroup // of those that may come back

	mu     sync.Mutex
	moved  sync.Cond // signalled when somebody leaves or falls quiet, and at the end
	inside int
	quiet  linked.List // of *guest, the one that has been quiet for longest first
	closed bool
}

// A guest is one connection of a crowd.
type guest struct {
	net.Conn
	crowd *crowd
	ahead []byte // of its next request, that was read already

	// The crowd's lock guards these.
	place  *linked.Element // in quiet; nil: it is in a handler
	silent bool            // it has not sent a byte yet
	left   bool
}

type guestKey struct{}

func newCrowd(l net.Listener, most int) *crowd {
	c := &crowd{Listener: l, most: most, back: make(chan *guest), over: make(chan struct{})}
	c.moved.L = &c.mu
	return c
}

// watch has c told what the connections of server do.
func (c *crowd) watch(server *http.Server) {
	handler := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.busy(r.Context().Value(guestKey{}).(*guest))
		handler.ServeHTTP(w, r)
	})
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, guestKey{}, conn)
	}
	server.ConnState = func(conn net.Conn, state http.ConnState) { c.note(conn.(*guest), state) }
	server.RegisterOnShutdown(c.hurrySilent)
}

func (c *crowd) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	g := &guest{Conn: conn, crowd: c}
	if !c.enter() {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	return g, nil
}

// enter waits until there is room; false if the listener was closed meanwhile.
func (c *crowd) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.inside >= c.most && !c.closed {
		first := c.quiet.Front()
		if first == nil {
			c.moved.Wait()
			continue
		}
		g := first.Value.(*guest)
		c.leave(g)
		_ = g.Conn.Close() // never waits: nothing lingers
	}
	c.inside++
	return !c.closed
}

// Close stops accepting. The connections stay.
func (c *crowd) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	close(c.over)
	c.moved.Broadcast()
	return c.Listener.Close()
}

func (c *crowd) note(g *guest, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g.silent = state == http.StateNew
	if (state == http.StateNew || state == http.StateIdle) && !g.left {
		c.unquiet(g) // OPTIONS * is answered without our handler
		g.place = c.quiet.PushBack(g)
		c.moved.Signal()
	}
}

func (c *crowd) busy(g *guest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unquiet(g)
}

// unquiet takes a guest off the list. The caller holds the lock.
func (c *crowd) unquiet(g *guest) {
	if g.place != nil {
		c.quiet.Remove(g.place)
		g.place = nil
	}
}

// leave counts a guest out, once. The caller holds the lock.
func (c *crowd) leave(g *guest) {
	if g.left {
		return
	}
	g.left = true
	c.unquiet(g)
	c.inside--
	c.moved.Signal()
}

// comeBack waits for a further request of a guest that net/http had given up, as
// net/http does between two requests, and gives it back.
func (g *guest) comeBack() {
	c := g.crowd
	if !c.mayRest(g) {
		_ = g.Close() // its answer is complete
		return
	}
	defer c.rest.Done()
	first := make([]byte, 1)
	if n, _ := g.Conn.Read(first); n == 0 {
		_ = g.Close() // there is no more to come
		return
	}
	c.busy(g)
	g.ahead = first
	select {
	case c.back <- g:
	case <-c.over:
		_ = g.Close() // as one whose request comes in this moment
	}
}

// mayRest tells whether a guest may wait for a further request.
func (c *crowd) mayRest(g *guest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || g.left {
		return false
	}
	_ = g.SetReadDeadline(time.Now().Add(idleTimeout)) // it fails where reading will
	c.rest.Add(1)
	g.silent = true
	g.place = c.quiet.PushBack(g)
	c.moved.Signal()
	return true
}

func (g *guest) Read(p []byte) (int, error) {
	if len(g.ahead) > 0 {
		n := copy(p, g.ahead)
		g.ahead = g.ahead[n:]
		return n, nil
	}
	return g.Conn.Read(p)
}

// returning is a listener whose connections are those that come back.
type returning struct{ *crowd }

func (r returning) Accept() (net.Conn, error) {
	select {
	case g := <-r.back:
		return g, nil
	case <-r.over:
		return nil, net.ErrClosed
	}
}

// Close does nothing: the crowd's end is the end of it.
func (returning) Close() error { return nil }

// hurrySilent has connections that never sent a byte end soon after the server's
// end has begun. Clients open some ahead of need, and Shutdown alone would wait
// 5 s for their first request.
func (c *crowd) hurrySilent() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.quiet.Front(); e != nil; e = e.Next() {
		if g := e.Value.(*guest); g.silent {
			_ = g.SetReadDeadline(time.Now().Add(firstWord)) // it may have ended
		}
	}
}

func (g *guest) Close() error {
	g.crowd.mu.Lock()
	g.crowd.leave(g)
	g.crowd.mu.Unlock()
	return g.Conn.Close()
}

// CloseWrite lets net/http end a connection so that an answer to a request that
// was not read to its end still arrives.
func (g *guest) CloseWrite() error {
	if c, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}
