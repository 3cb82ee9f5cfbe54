package node

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// nodeHandler is where log lines go: each names the node as it is called now.
type nodeHandler struct {
	plain slog.Handler
	named atomic.Pointer[slog.Handler]
}

func newNodeHandler(plain slog.Handler, id string) *nodeHandler {
	h := &nodeHandler{plain: plain}
	h.name(id)
	return h
}

// name gives the lines from now on another node.
func (h *nodeHandler) name(id string) {
	named := h.plain.WithAttrs([]slog.Attr{slog.String("node", id)})
	h.named.Store(&named)
}

func (h *nodeHandler) handler() slog.Handler { return *h.named.Load() }

// Enabled is for slog.
func (h *nodeHandler) Enabled(ctx context.Context, l slog.Level) bool { return h.plain.Enabled(ctx, l) }

// Handle is for slog.
func (h *nodeHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.handler().Handle(ctx, r)
}

// WithAttrs is for slog. The node stays what it is then.
func (h *nodeHandler) WithAttrs(attrs []slog.Attr) slog.Handler { return h.handler().WithAttrs(attrs) }

// WithGroup is for slog. The node stays what it is then.
func (h *nodeHandler) WithGroup(name string) slog.Handler { return h.handler().WithGroup(name) }
