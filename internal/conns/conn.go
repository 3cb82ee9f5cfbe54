package conns

import (
	linked "container/list"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// A Conn is one connection of a [Listener]. It knows where the head of a request ends, and
// where its body ends, from the length that the handler reports.
type Conn struct {
	net.Conn

	listener *Listener

	mu      sync.Mutex // guards what follows
	phase   phase
	serving bool   // a handler has it: what is read is returned at once
	head    head   // of the request that is arriving
	timed   bool   // the head has its deadline
	pending []byte // has been read, but not returned yet
	behind  int64  // bytes returned after the head
	body    int64  // bytes of the body still to come

	// The listener's lock guards these.
	place   *linked.Element // among those that may be closed; nil: it may not be closed
	trusted bool            // it has presented a valid key
	silent  bool            // it has not sent a request yet
	left    bool
}

// A phase is what the next byte of a connection belongs to.
type phase int

const (
	inHead     phase = iota
	behindHead       // of a request whose handler has not begun
	inBody
	anywhere // unknown: the connection serves no further request, or is taken over
)

// Read reads for net/http. While no handler has the connection, it returns a head only once
// it is complete.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		n, ok := c.handOut(p)
		if ok {
			return n, nil
		}
		room := p[:n]
		n, err := c.Conn.Read(room)
		whole, refused := c.took(room[:n])
		switch {
		case refused:
			c.refuse(p)
			return 0, io.EOF
		case whole:
			return n, err
		case err != nil:
			return 0, err
		}
	}
}

// handOut copies pending bytes to p. If there are none, it returns how much of p may be
// read into.
func (c *Conn) handOut(p []byte) (n int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) > 0 && (c.serving || c.phase != inHead) {
		n = copy(p, c.pending)
		if c.pending = c.pending[n:]; len(c.pending) == 0 {
			c.pending = nil
		}
		return n, true
	}
	if c.phase == inBody && c.body < int64(len(p)) {
		return int(c.body), false
	}
	return len(p), false
}

// took records what was read. whole means that it can be returned as it is, refused that
// the head is too large. Otherwise it is pending.
func (c *Conn) took(p []byte) (whole, refused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(p)
	if (c.phase == inHead || c.phase == behindHead) && c.head.tooLarge() {
		return false, true
	}
	if c.serving || c.phase != inHead {
		if len(c.pending) == 0 {
			return true, false
		}
	} else if len(p) > 0 && !c.timed {
		c.timed = true
		_ = c.SetReadDeadline(time.Now().Add(HeadTimeout)) // fails where reading will
	}
	c.pending = append(c.pending, p...)
	return false, false
}

// advance moves through the phases. The caller holds the lock.
func (c *Conn) advance(p []byte) {
	switch c.phase {
	case inHead:
		if n, whole := c.head.read(p); whole {
			c.phase, c.behind = behindHead, int64(len(p)-n)
		}
	case behindHead:
		c.behind += int64(len(p))
	case inBody:
		if c.body -= int64(len(p)); c.body == 0 {
			c.nextHead()
		}
	case anywhere:
	}
}

// nextHead expects another request. The caller holds the lock.
func (c *Conn) nextHead() { c.phase, c.head, c.timed = inHead, head{}, false }

// begin records that a handler has a request whose body has length bytes; -1: unknown. It
// reports whether the connection can serve another request after it: if one has been read
// already, or may have been, its head was not bounded.
func (c *Conn) begin(length int64) (again bool) {
	c.listener.busy(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serving = true
	switch {
	case c.phase != behindHead:
		return true
	case length < 0 || length < c.behind:
		c.phase = anywhere
		return false
	case length == c.behind:
		c.nextHead()
	default:
		c.phase, c.body = inBody, length-c.behind
	}
	return true
}

// idle records that a request was answered and another one may come. It reports whether it
// may: net/http answers some without a handler, and may have read further.
func (c *Conn) idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serving = false
	if c.phase == behindHead && c.behind == 0 {
		c.nextHead()
	}
	return c.phase == inHead
}

// takenOver records that the connection no longer belongs to net/http.
func (c *Conn) takenOver() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase, c.serving = anywhere, true
}

const (
	refusalTimeout = time.Second
	// After a refusal the rest is read for a moment: an operating system that closes a
	// connection with unread bytes discards what was written last.
	lingerFor   = 500 * time.Millisecond
	lingerBytes = 256 << 10
)

// refuse answers a request whose head is too large. It uses scratch to read what is still
// being sent.
func (c *Conn) refuse(scratch []byte) {
	_ = c.SetWriteDeadline(time.Now().Add(refusalTimeout)) // each fails where writing will
	_, _ = c.Write(c.listener.cfg.TooLarge)
	_ = c.CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(lingerFor))
	for all := 0; all < lingerBytes; {
		n, err := c.Conn.Read(scratch)
		if err != nil {
			return
		}
		all += n
	}
}

// Trust records that the connection has presented a valid key: it is evicted only when
// there is no stranger left to evict. The handler of its request calls it.
func (c *Conn) Trust() {
	if c == nil || c.trusted { // only this method, which its handlers call in turn, writes it
		return
	}
	c.listener.trust(c)
}

// ComeBack waits for a further request on a connection that was taken over, as net/http
// does between two requests, and has it served.
func (c *Conn) ComeBack() {
	l := c.listener
	if !l.mayRest(c) {
		_ = c.Close() // its answer is complete
		return
	}
	defer l.rest.Done()
	first := make([]byte, 1)
	if n, _ := c.Conn.Read(first); n == 0 {
		_ = c.Close() // there is no more to come
		return
	}
	l.busy(c)
	c.mu.Lock()
	c.nextHead()
	c.serving, c.pending = false, first
	c.advance(first)
	c.mu.Unlock()
	select {
	case l.back <- c:
	case <-l.over:
		_ = c.Close() // as if its request arrived at this moment
	}
}

// Close closes the connection, and makes room for another one.
func (c *Conn) Close() error {
	c.listener.mu.Lock()
	c.listener.leave(c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite lets net/http end a connection so that the answer to a request that was not
// completely read still arrives.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// BoundSendBuffer bounds in bytes what the system keeps of what the client has not taken: by
// default it would be megabytes. It does nothing on a nil Conn.
func (c *Conn) BoundSendBuffer(bytes int) {
	if c == nil {
		return
	}
	if b, ok := c.Conn.(interface{ SetWriteBuffer(bytes int) error }); ok {
		_ = b.SetWriteBuffer(bytes) // a hint
	}
}
