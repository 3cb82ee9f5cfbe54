package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A repeated message, at warn or above, is written sampleLines times in sampleSpan; how
// many were left out is logged once that time is over.
const (
	sampleLines = 10
	sampleSpan  = 10 * time.Second
)

// sampler keeps repeated messages from flooding the log: a full disk would cause a line for
// each job. Messages are constants, so there are few. Lines below warn always pass.
type sampler struct {
	slog.Handler // as WithAttrs and WithGroup made it
	root         slog.Handler
	spans        *spans
}

// spans is shared by all loggers that were derived from one.
type spans struct {
	mu       sync.Mutex
	messages map[string]*span
	next     time.Time // when the first of those that left lines out is over
}

type span struct {
	began         time.Time
	lines, missed int
	level         slog.Level
}

func sampled(h slog.Handler) *sampler {
	return &sampler{Handler: h, root: h, spans: &spans{messages: map[string]*span{}}}
}

// Handle writes the record, or counts it.
func (s *sampler) Handle(ctx context.Context, r slog.Record) error {
	for _, over := range s.spans.over(r.Time) {
		if err := s.root.Handle(ctx, over); err != nil {
			return err
		}
	}
	if r.Level >= slog.LevelWarn && !s.spans.pass(r) {
		return nil
	}
	return s.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (s *sampler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &sampler{s.Handler.WithAttrs(attrs), s.root, s.spans}
}

// WithGroup implements [slog.Handler].
func (s *sampler) WithGroup(name string) slog.Handler {
	return &sampler{s.Handler.WithGroup(name), s.root, s.spans}
}

// pass reports whether a record is written.
func (s *spans) pass(r slog.Record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.messages[r.Message]
	if m == nil || m.missed == 0 && r.Time.Sub(m.began) >= sampleSpan {
		m = &span{began: r.Time}
		s.messages[r.Message] = m
	}
	m.level = r.Level
	if m.lines < sampleLines {
		m.lines++
		return true
	}
	m.missed++
	if end := m.began.Add(sampleSpan); s.next.IsZero() || end.Before(s.next) {
		s.next = end
	}
	return false
}

// over returns a record for each span that is over and left lines out.
func (s *spans) over(now time.Time) (over []slog.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next.IsZero() || now.Before(s.next) {
		return nil
	}
	s.next = time.Time{}
	for message, m := range s.messages {
		end := m.began.Add(sampleSpan)
		switch {
		case m.missed == 0:
		case now.Before(end):
			if s.next.IsZero() || end.Before(s.next) {
				s.next = end
			}
		default:
			r := slog.NewRecord(now, m.level, "lines were left out", 0)
			r.AddAttrs(slog.String("of", message), slog.Int("count", m.missed))
			over = append(over, r)
			delete(s.messages, message)
		}
	}
	return over
}
