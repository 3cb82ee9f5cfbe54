package intake

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/telemetry"
)

// trace begins the span in which a job is made, and stores its context in o: the job will
// remember it. The function that it returns ends the span.
func (in *Intake) trace(ctx context.Context, o *Options) (context.Context, func(*store.Job, error)) {
	if in.cfg.Tracer == nil {
		return ctx, func(*store.Job, error) {}
	}
	if !trace.SpanContextFromContext(ctx).IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, telemetry.SpanContext(o.TraceParent, o.TraceState))
	}
	ctx, span := in.cfg.Tracer.Start(ctx, "send jobs", trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
		attribute.String(telemetry.MessagingSystem, "ringback"), attribute.String(telemetry.MessagingOperation, "send")))
	o.TraceParent, o.TraceState = telemetry.Stored(ctx)
	return ctx, func(j *store.Job, err error) {
		if err != nil {
			telemetry.Fail(span, fault(err))
		} else {
			span.SetAttributes(attribute.String(telemetry.MessagingMessageID, j.ID.String()), attribute.String(telemetry.MessagingDestination, j.Provider))
		}
		span.End()
	}
}

// fault returns the type of an error, as a span has it.
func fault(err error) string {
	if e, ok := errors.AsType[*ringback.Error](err); ok {
		return string(e.Code)
	}
	return string(ringback.Internal)
}
