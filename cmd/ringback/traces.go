package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/ringback/ringback/internal/config"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/telemetry"
)

// tracesGrace is how long the collector has at the end to accept what is left.
const tracesGrace = 5 * time.Second

// openTraces returns a tracer, nil if there are no traces, and the function that sends what
// is left.
func openTraces(ctx context.Context, c config.Config, log *slog.Logger) (trace.Tracer, func(), error) {
	if !c.Traces {
		return nil, func() {}, nil
	}
	traces, err := telemetry.OpenTraces(ctx, telemetry.TraceConfig{Build: build(), Logger: log})
	if err != nil {
		return nil, nil, exit.Errorf(exit.Usage, "%w", err)
	}
	log.Info("traces are sent")
	return traces.Tracer(), func() {
		ctx, cancel := context.WithTimeoutCause(context.Background(), tracesGrace, errors.New("the collector did not take the last traces in time"))
		defer cancel()
		if err := traces.Close(ctx); err != nil {
			log.Warn("traces not sent", "err", err)
		}
	}, nil
}
