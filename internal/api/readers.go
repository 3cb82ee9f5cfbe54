package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/conns"
	"github.com/ringback/ringback/internal/metrics"
	"github.com/ringback/ringback/internal/node"
)

// A transportName names a transport in metrics and logs.
type transportName string

const (
	overSSE       transportName = "sse"
	overWebSocket transportName = "websocket"
)

// readers are those that are watching jobs. They are bounded, and the server's end waits
// for them.
type readers struct {
	most   int
	counts metrics.Readers

	mu   sync.Mutex
	left sync.Cond            // signalled when one leaves
	here map[*reader]struct{} // those that have not left
}

// A reader watches one job.
type reader struct {
	*node.Stream

	by         transportName
	all        *readers
	subscriber *subscriber // nil: it has none yet, its connection is net/http's
}

func newReaders(most int, r prometheus.Registerer) *readers {
	all := &readers{
		most: most, here: map[*reader]struct{}{},
		counts: metrics.NewReaders(r, string(overSSE), string(overWebSocket)),
	}
	all.left.L = &all.mu
	return all
}

// enter makes a reader, if there is room for one more.
func (all *readers) enter(by transportName) (*reader, error) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if len(all.here) >= all.most {
		return nil, &ringback.Error{
			Code: ringback.Unavailable, RetryAfterSeconds: crowdedFor,
			Message: "too many readers watch jobs at this server; try again in a moment",
		}
	}
	r := &reader{by: by, all: all}
	all.here[r] = struct{}{}
	all.counts.Now.WithLabelValues(string(by)).Inc()
	return r, nil
}

// crowdedFor is the Retry-After, in seconds, for readers that there is no room for.
const crowdedFor = 5

// leave is called once.
func (r *reader) leave() {
	if r.Stream != nil {
		r.Close()
	}
	r.all.mu.Lock()
	defer r.all.mu.Unlock()
	delete(r.all.here, r)
	r.all.counts.Now.WithLabelValues(string(r.by)).Dec()
	r.all.left.Broadcast()
}

// slow counts a reader that is cut off.
func (r *reader) slow() { r.all.counts.Cut.WithLabelValues(string(r.by)).Inc() }

// sendBuffer bounds the kernel's buffer for events that a reader has not read, in bytes: by
// default it would take megabytes.
const sendBuffer = 64 << 10

// userTimeout is how long a reader's side may fail to acknowledge what was sent: its
// network is gone without notice.
const userTimeout = 30 * time.Second

// slim bounds the buffers of a reader's connection, and returns the connection; nil in a
// test without one.
func slim(r *http.Request) *conns.Conn {
	conn := boundSendBuffer(r, sendBuffer)
	if conn != nil {
		_ = setUserTimeout(conn.Conn, userTimeout) // not everywhere
	}
	return conn
}

// boundSendBuffer bounds the kernel's buffer for a connection, and returns the connection;
// nil in a test without one.
func boundSendBuffer(r *http.Request, bytes int) *conns.Conn {
	conn := conns.Of(r)
	if conn == nil {
		return nil
	}
	if c, ok := conn.Conn.(interface{ SetWriteBuffer(bytes int) error }); ok {
		_ = c.SetWriteBuffer(bytes) // a hint
	}
	return conn
}

// takes records a reader's subscriber.
func (r *reader) takes(t *subscriber) {
	r.all.mu.Lock()
	defer r.all.mu.Unlock()
	r.subscriber = t
}

// breakOff ends a reader's connection, even in the middle of a write. The caller holds the
// lock.
func (r *reader) breakOff() {
	if r.subscriber != nil {
		_ = r.subscriber.conn.Close() // it may have ended
	}
}

// dismiss ends the waiting of all subscribers: the server closes.
func (all *readers) dismiss() {
	all.mu.Lock()
	var subscribers []*subscriber
	for r := range all.here {
		if r.subscriber != nil {
			subscribers = append(subscribers, r.subscriber)
		}
	}
	all.mu.Unlock()
	for _, t := range subscribers {
		t.fanout.letGo(t, errClosing)
	}
}

// end waits until all have left. When ctx ends, their connections are broken.
func (all *readers) end(ctx context.Context) {
	defer context.AfterFunc(ctx, func() {
		all.mu.Lock()
		defer all.mu.Unlock()
		for r := range all.here {
			r.breakOff()
		}
	})()
	all.mu.Lock()
	defer all.mu.Unlock()
	for len(all.here) > 0 {
		all.left.Wait()
	}
}

const (
	// beat is how often an idle reader gets a heartbeat.
	beat = 15 * time.Second
	// readerGrace is how long a reader may take to read what is written to it, on top of
	// the time for its size at slowestRate, and to answer a ping. Then it is cut off, and
	// may resume.
	readerGrace = 10 * time.Second
)

// patience returns how long a reader may take to read that many bytes.
func (s *Server) patience(bytes int) time.Duration {
	return s.readerGrace + time.Duration(bytes)*time.Second/slowestRate
}
