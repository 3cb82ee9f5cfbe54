package telemetry

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// TraceConfig sets up traces.
type TraceConfig struct {
	Build Build
	// Logger gets the errors of exporting. Required.
	Logger *slog.Logger
}

// Traces sends spans by OTLP over HTTP. Where to, how many and how often is set by the
// standard OTEL_ variables, which the SDK reads itself: the one exception to the rule that
// only cmd reads the environment. The opener decides whether there are traces at all.
type Traces struct{ provider *sdktrace.TracerProvider }

// OpenTraces begins to send. It does not wait for a connection.
func OpenTraces(ctx context.Context, c TraceConfig) (*Traces, error) {
	// The SDK has one place, for the whole process, where it reports errors.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { c.Logger.Warn("traces not sent", "err", err) }))
	otel.SetLogger(logr.Discard())
	res, err := resource.New(ctx,
		resource.WithAttributes(
			attribute.String("service.name", "ringback"),
			attribute.String("service.version", c.Build.Version),
		),
		resource.WithTelemetrySDK(),
		resource.WithFromEnv(), // last, so that the operator's settings win
	)
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("send traces: %w", err)
	}
	return &Traces{sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter), sdktrace.WithResource(res), sdktrace.WithIDGenerator(ids{}),
	)}, nil
}

// Tracer makes spans.
func (t *Traces) Tracer() trace.Tracer { return t.provider.Tracer("github.com/ringback/ringback") }

// Close sends what is left, until ctx is done.
func (t *Traces) Close(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// wanted is the context key for the ids of a new root span.
type wanted struct{}

// WithIDs gives the next root span of ctx these ids. So a span can be linked to without
// storing its ids, if they are derived from something stored.
func WithIDs(ctx context.Context, c trace.SpanContext) context.Context {
	return context.WithValue(ctx, wanted{}, c)
}

// ids generates ids: the wanted ones, otherwise random ones.
type ids struct{}

// NewIDs is called by the SDK.
func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if c, ok := ctx.Value(wanted{}).(trace.SpanContext); ok {
		return c.TraceID(), c.SpanID()
	}
	var id trace.TraceID
	binary.NativeEndian.PutUint64(id[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(id[8:], rand.Uint64()|1) // 0 is no id
	return id, ids{}.NewSpanID(ctx, id)
}

// NewSpanID is called by the SDK.
func (ids) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	binary.NativeEndian.PutUint64(id[:], rand.Uint64()|1)
	return id
}
