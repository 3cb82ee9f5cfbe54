package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// world is what surrounds a contender: the provider that it calls, the receiver that it
// delivers to, and the record of when each job passed.
type world struct {
	provider *http.Server
	receiver *http.Server
	// ProviderURL and ReceiverURL are base URLs without a slash at the end.
	ProviderURL string
	ReceiverURL string

	mu  sync.Mutex // guards the change of run; readers take what is there
	run atomic.Pointer[run]
}

// run is one measurement: how the provider behaves, and what happened to each job.
type run struct {
	behaviour behaviour
	jobs      []passage
	written   []atomic.Int64 // when each piece of each job's answer was, if they are streamed one by one; as of passage
	start     time.Time
	delivered atomic.Int64
	webhooks  atomic.Int64 // including repeated ones
	calls     atomic.Int64
	away      atomic.Int64 // readers that were told to come again
	repeated  atomic.Int64 // calls and webhooks after the first of a job
	want      int64
	done      chan struct{} // closed when want jobs are delivered
	once      sync.Once
	live      atomic.Int64 // calls that the provider is answering now
	peak      atomic.Int64 // the most of them
	progress  chan struct{}
}

// passage is when a job passed each point, in nanoseconds after the run's start;
// 0 means not yet.
type passage struct {
	submitted, accepted, called, answered, delivered atomic.Int64
	calledAgain                                      atomic.Int64 // the second call
}

// newWorld opens both servers on ports of their own.
func newWorld() (*world, error) {
	w := &world{}
	var err error
	if w.provider, w.ProviderURL, err = listen(http.HandlerFunc(w.answer)); err != nil {
		return nil, err
	}
	w.receiver, w.ReceiverURL, err = listen(http.HandlerFunc(w.receive))
	return w, err
}

func listen(h http.Handler) (*http.Server, string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(l) }()
	return s, "http://" + l.Addr().String(), nil
}

// receivers opens n more receivers, each a different host to a contender.
func (w *world) receivers(n int) (urls []string, closeAll func(), err error) {
	var all []*http.Server
	closeAll = func() {
		for _, s := range all {
			_ = s.Close()
		}
	}
	for range n {
		s, url, err := listen(http.HandlerFunc(w.receive))
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		all, urls = append(all, s), append(urls, url)
	}
	return urls, closeAll, nil
}

func (w *world) close() {
	_ = w.provider.Close()
	_ = w.receiver.Close()
}

// begin starts a run of at most n jobs, done when want of them are delivered.
func (w *world) begin(b behaviour, n, want int) *run {
	var written []atomic.Int64
	if b.stream > 0 {
		written = make([]atomic.Int64, n*b.pieces)
	}
	r := &run{
		written:   written,
		behaviour: b, jobs: make([]passage, n), start: time.Now(), want: int64(want),
		done: make(chan struct{}), progress: make(chan struct{}, 1),
	}
	w.run.Store(r)
	return r
}

func (r *run) now() int64 { return max(1, int64(time.Since(r.start))) }

// callback returns where the webhook of job n goes.
func (w *world) callback(n int) string { return fmt.Sprintf("%s/jobs/%d", w.ReceiverURL, n) }

// receive serves the receiver: it reads the whole webhook, and replies 200.
func (w *world) receive(rw http.ResponseWriter, req *http.Request) {
	_, _ = io.Copy(io.Discard, req.Body)
	var n int
	if r := w.run.Load(); r != nil {
		if _, err := fmt.Sscanf(req.URL.Path, "/jobs/%d", &n); err == nil && n < len(r.jobs) {
			r.deliver(n)
		}
	}
	rw.WriteHeader(http.StatusOK)
}

func (r *run) deliver(n int) {
	r.webhooks.Add(1)
	if !r.jobs[n].delivered.CompareAndSwap(0, r.now()) {
		r.repeated.Add(1)
		return
	}
	select {
	case r.progress <- struct{}{}:
	default:
	}
	if r.delivered.Add(1) == r.want {
		r.once.Do(func() { close(r.done) })
	}
}
