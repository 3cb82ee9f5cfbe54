package node

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// nodeHandler adds the present id of the node to each line of the log.
type nodeHandler struct {
	plain slog.Handler
	named atomic.Pointer[slog.Handler]
}

func newNodeHandler(plain slog.Handler, id string) *nodeHandler {
	h := &nodeHandler{plain: plain}
	h.name(id)
	return h
}

// name sets the id that the lines name from now on.
func (h *nodeHandler) name(id string) {
	named := h.plain.WithAttrs([]slog.Attr{slog.String("node", id)})
	h.named.Store(&named)
}

func (h *nodeHandler) handler() slog.Handler { return *h.named.Load() }

// Enabled implements [slog.Handler].
func (h *nodeHandler) Enabled(ctx context.Context, l slog.Level) bool { return h.plain.Enabled(ctx, l) }

// Handle implements [slog.Handler].
func (h *nodeHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.handler().Handle(ctx, r)
}

// WithAttrs implements [slog.Handler]. The lines go on naming the node as it is called now.
func (h *nodeHandler) WithAttrs(attrs []slog.Attr) slog.Handler { return h.handler().WithAttrs(attrs) }

// WithGroup implements [slog.Handler]. The lines go on naming the node as it is called now.
func (h *nodeHandler) WithGroup(name string) slog.Handler { return h.handler().WithGroup(name) }
