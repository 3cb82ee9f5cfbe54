// Package fanout serves the readers of streams: clients that watch jobs over Server-Sent Events
// or WebSocket, ten thousand at once.
//
//	readers.go     Readers: all of them; how many there may be, how they end with the server
//	subscriber.go  one reader, from when its connection is taken from net/http
//	fanout.go      the fanout of one job: new events go to all readers that are caught up
//	chunk.go       events, rendered once for all of them
//	sse.go         the transport SSE
//	websocket.go   the transport WebSocket
//
// A reader costs only itself: every write to it has a deadline, and nobody waits for it. The
// caller decides who may watch which job.
package fanout

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/conns"
	"github.com/ringback/ringback/internal/live"
	"github.com/ringback/ringback/internal/metrics"
	"github.com/ringback/ringback/internal/reading"
)

// A Transport is how events reach a reader: its name in metrics and logs.
type Transport string

// The transports.
const (
	SSE       Transport = "sse"
	WebSocket Transport = "websocket"
)

// Config is what the readers of a server need. It must not change once one has entered.
type Config struct {
	// Most bounds the readers.
	Most int
	// Beat is how often a reader is sent a sign of life while its job has no events.
	// Zero: 15 s.
	Beat time.Duration
	// Grace is the time that a reader has to take what is written to it, in addition to
	// the time that its size takes at Rate, and to answer a ping. After that it is cut
	// off, and may resume. Zero: 10 s.
	Grace time.Duration
	// Rate is the slowest rate that a reader may have, in bytes per second.
	Rate int
	// Reserve takes memory for a large chunk. It fails if there is none.
	Reserve func(bytes int64) (release func(), err error)
	// OpenEnd opens a job that has ended with a long answer.
	OpenEnd func(ctx context.Context, project string, job uuid.UUID) (*reading.Opened, error)
	// UserError returns the error for users that err has; nil if it has none.
	UserError func(err error) *ringback.Error
	// Closing is done when the server closes: readers are then told to come again.
	Closing context.Context
	// Metrics may be nil.
	Metrics prometheus.Registerer
	Logger  *slog.Logger
}

const (
	defaultBeat  = 15 * time.Second
	defaultGrace = 10 * time.Second
)

// ErrClosing ends what waits when the server closes.
var ErrClosing = errors.New("the server is stopping")

// Readers are all that watch jobs now. Their number is bounded, and the server's end waits for
// them.
type Readers struct {
	Config

	counts  metrics.Readers
	fanouts fanouts

	mu   sync.Mutex
	left sync.Cond            // signalled when one leaves
	here map[*Reader]struct{} // those that have not left
}

// A Reader watches one job.
type Reader struct {
	*live.Stream // set by the caller

	by         Transport
	all        *Readers
	subscriber *subscriber // nil: it has none yet, its connection is net/http's
}

// New makes the readers of a server. There are none yet.
func New(c Config) *Readers {
	c.Beat, c.Grace = cmp.Or(c.Beat, defaultBeat), cmp.Or(c.Grace, defaultGrace)
	all := &Readers{Config: c, here: map[*Reader]struct{}{}, counts: metrics.NewReaders(c.Metrics, string(SSE), string(WebSocket))}
	all.fanouts.all = map[fanoutKey]*fanout{}
	all.left.L = &all.mu
	context.AfterFunc(c.Closing, all.dismiss)
	return all
}

// Enter makes a reader, if there is room for one more. The caller opens its stream. The reader
// must be served or leave.
func (all *Readers) Enter(by Transport) (*Reader, error) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if len(all.here) >= all.Most {
		return nil, &ringback.Error{
			Code: ringback.Unavailable, RetryAfterSeconds: crowdedFor,
			Message: "too many readers watch jobs at this server; try again in a moment",
		}
	}
	r := &Reader{by: by, all: all}
	all.here[r] = struct{}{}
	all.counts.Now.WithLabelValues(string(by)).Inc()
	return r, nil
}

// crowdedFor is when a reader without room may try again, in seconds.
const crowdedFor = 5

// Leave ends a reader that is not served. It is called once.
func (r *Reader) Leave() {
	if r.Stream != nil {
		r.Close()
	}
	r.all.mu.Lock()
	defer r.all.mu.Unlock()
	delete(r.all.here, r)
	r.all.counts.Now.WithLabelValues(string(r.by)).Dec()
	r.all.left.Broadcast()
}

// countSlow counts a reader that is cut off.
func (r *Reader) countSlow() { r.all.counts.Cut.WithLabelValues(string(r.by)).Inc() }

// SendBuffer bounds what the system keeps of events that a reader has not taken, in bytes.
const SendBuffer = 64 << 10

// userTimeout is how long a reader's side may leave something unacknowledged: its network is
// gone without notice.
const userTimeout = 30 * time.Second

// slim bounds what a reader's connection may hold, and returns that connection; nil in a test
// without one.
func slim(r *http.Request) *conns.Conn {
	conn := conns.Of(r)
	if conn != nil {
		conn.BoundSendBuffer(SendBuffer)
		_ = conns.SetUserTimeout(conn.Conn, userTimeout) // not supported everywhere
	}
	return conn
}

// takes records a reader's subscriber.
func (r *Reader) takes(t *subscriber) {
	r.all.mu.Lock()
	defer r.all.mu.Unlock()
	r.subscriber = t
}

// breakOff closes the connection of a reader, even in the middle of a write. The caller holds
// the lock.
func (r *Reader) breakOff() {
	if r.subscriber != nil {
		_ = r.subscriber.conn.Close() // it may have ended
	}
}

// dismiss ends the waiting of all subscribers: the server closes.
func (all *Readers) dismiss() {
	all.mu.Lock()
	var subscribers []*subscriber
	for r := range all.here {
		if r.subscriber != nil {
			subscribers = append(subscribers, r.subscriber)
		}
	}
	all.mu.Unlock()
	for _, t := range subscribers {
		t.fanout.letGo(t, ErrClosing)
	}
}

// End waits until all have left. When ctx ends, it breaks their connections.
func (all *Readers) End(ctx context.Context) {
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

// patience is how long a reader may take for so many bytes.
func (all *Readers) patience(bytes int) time.Duration {
	return all.Grace + time.Duration(bytes)*time.Second/time.Duration(all.Rate)
}
