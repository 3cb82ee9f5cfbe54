package conns

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringback/ringback/internal/metrics"
)

// NewMetrics registers the metrics of a listener.
func NewMetrics(r prometheus.Registerer) *metrics.Listener {
	m := metrics.NewListener(r)
	for _, s := range shortages {
		m.Failed.WithLabelValues(s.reason)
	}
	return m
}

// shortages are the errors of accept that pass.
var shortages = []struct {
	err    syscall.Errno
	reason string
}{
	{syscall.EMFILE, "process_descriptors"},
	{syscall.ENFILE, "system_descriptors"},
	{syscall.ENOBUFS, "memory"},
	{syscall.ENOMEM, "memory"},
	{syscall.ECONNABORTED, "aborted"},
}

const (
	firstPause   = 5 * time.Millisecond
	longestPause = 500 * time.Millisecond
	// evictAtOnce is how many connections are closed when there is no descriptor.
	evictAtOnce = 8
	// spell is how long accepting must have succeeded before a failure is logged again.
	spell = 10 * time.Second
)

// accept accepts a connection. During a shortage it closes idle connections and tries
// again.
func (l *Listener) accept() (net.Conn, error) {
	for pause := firstPause; ; {
		conn, err := l.Listener.Accept()
		if err == nil {
			l.keepSpare()
			return conn, nil
		}
		reason := shortage(err)
		if reason == "" {
			l.giveUpSpare()
			return nil, err
		}
		l.metrics.Failed.WithLabelValues(reason).Inc()
		if reason == "aborted" {
			continue // the client has left; the next one is waiting
		}
		l.record(err)
		if l.makeRoom() {
			pause = firstPause
		}
		select {
		case <-time.After(pause):
		case <-l.over:
		}
		pause = min(2*pause, longestPause)
	}
}

// shortage returns what there was a shortage of; "" for an error that does not pass.
func shortage(err error) string {
	for _, s := range shortages {
		if errors.Is(err, s.err) {
			return s.reason
		}
	}
	return ""
}

// record logs a shortage, once while it lasts.
func (l *Listener) record(err error) {
	now := time.Now()
	if now.Sub(l.short) > spell {
		l.mu.Lock()
		open := l.open
		l.mu.Unlock()
		l.cfg.Logger.Error("connections cannot be accepted, so idle ones are closed; raise the limit of open files (ulimit -n)",
			slog.Any("err", err), slog.Int("connections", open), slog.Int("most", l.cfg.Most))
	}
	l.short = now
}

// makeRoom closes connections that wait for a request. If there are none, it gives up the
// spare descriptor, with which one connection at a time can be served. It reports whether
// there is more room than before.
func (l *Listener) makeRoom() bool {
	l.mu.Lock()
	evicted := 0
	for evicted < evictAtOnce && l.evict() {
		evicted++
	}
	l.mu.Unlock()
	return evicted > 0 || l.giveUpSpare()
}

// giveUpSpare reports whether there was a spare descriptor.
func (l *Listener) giveUpSpare() bool {
	if l.spare == nil {
		return false
	}
	_ = l.spare.Close() // nothing was written
	l.spare = nil
	return true
}

// keepSpare takes a spare descriptor, if there is one.
func (l *Listener) keepSpare() {
	if l.spare == nil {
		l.spare, _ = os.Open(os.DevNull) // nil without one
	}
}
