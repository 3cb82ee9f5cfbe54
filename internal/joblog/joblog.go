// Package joblog logs the events in the life of a job, at level debug.
package joblog

import (
	"context"
	"log/slog"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/telemetry"
)

// Record logs an event in a job's life. Its attributes must never hold a body, a header or
// a URL.
func Record(log *slog.Logger, msg string, j *store.Job, attrs ...slog.Attr) {
	ctx := context.Background()
	if !log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	all := append(make([]slog.Attr, 0, 5+len(attrs)), slog.Any("job_id", j.ID), slog.Int64("attempt", j.Fence),
		slog.String("provider", j.Provider), slog.String("model", j.Model))
	if id := telemetry.TraceID(j.Options.TraceParent); id != "" {
		all = append(all, slog.String("trace_id", id))
	}
	log.LogAttrs(ctx, slog.LevelDebug, msg, append(all, attrs...)...) //nolint:sloglint // its callers pass constants
}
