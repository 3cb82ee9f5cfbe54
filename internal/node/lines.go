package node

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// lines is where log lines go: each names the node as it is called now.
type lines struct {
	plain slog.Handler
	named atomic.Pointer[slog.Handler]
}

func newLines(plain slog.Handler, id string) *lines {
	h := &lines{plain: plain}
	h.name(id)
	return h
}

// name gives the lines from now on another node.
func (h *lines) name(id string) {
	named := h.plain.WithAttrs([]slog.Attr{slog.String("node", id)})
	h.named.Store(&named)
}

func (h *lines) handler() slog.Handler { return *h.named.Load() }

// Enabled is for slog.
func (h *lines) Enabled(ctx context.Context, l slog.Level) bool { return h.plain.Enabled(ctx, l) }

// Handle is for slog.
func (h *lines) Handle(ctx context.Context, r slog.Record) error { return h.handler().Handle(ctx, r) }

// WithAttrs is for slog. The node stays what it is then.
func (h *lines) WithAttrs(attrs []slog.Attr) slog.Handler { return h.handler().WithAttrs(attrs) }

// WithGroup is for slog. The node stays what it is then.
func (h *lines) WithGroup(name string) slog.Handler { return h.handler().WithGroup(name) }
