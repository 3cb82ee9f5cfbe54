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
	// Logger gets what cannot be exported. Required.
	Logger *slog.Logger
}

// Traces sends spans by OTLP over HTTP. Where to, how many and how often is said
// by the standard OTEL_ variables, which the SDK reads itself: the one exception
// to the rule that only cmd reads the environment. Whether there are traces at
// all is decided by whoever opens them.
type Traces struct{ provider *sdktrace.TracerProvider }

// OpenTraces begins to send. It does not wait for a connection.
func OpenTraces(ctx context.Context, c TraceConfig) (*Traces, error) {
	// The SDK has one place, for the whole process, where it tells its troubles.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { c.Logger.Warn("traces not sent", "err", err) }))
	otel.SetLogger(logr.Discard())
	res, err := resource.New(ctx,
		resource.WithAttributes(
			attribute.String("service.name", "ringback"),
			attribute.String("service.version", c.Build.Version),
		),
		resource.WithTelemetrySDK(),
		resource.WithFromEnv(), // last: the operator knows better
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

// wanted is the key of the ids that a new root span is to have.
type wanted struct{}

// WithIDs makes the next root span of ctx have these ids. So a span can be linked
// to without its ids having been stored, if they follow from something that was.
func WithIDs(ctx context.Context, c trace.SpanContext) context.Context {
	return context.WithValue(ctx, wanted{}, c)
}

// ids gives ids: those that are wanted, else random ones.
type ids struct{}

// NewIDs is for the SDK.
func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if c, ok := ctx.Value(wanted{}).(trace.SpanContext); ok {
		return c.TraceID(), c.SpanID()
	}
	var id trace.TraceID
	binary.NativeEndian.PutUint64(id[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(id[8:], rand.Uint64()|1) // 0 is no id
	return id, ids{}.NewSpanID(ctx, id)
}

// NewSpanID is for the SDK.
func (ids) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	binary.NativeEndian.PutUint64(id[:], rand.Uint64()|1)
	return id
}
