package api

import (
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	otel "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringback/ringback/internal/telemetry"
)

// trace begins the span of a request, in the caller's trace if there is one. The returned
// function ends it.
func (s *Server) trace(r *http.Request, rt *route) (*http.Request, func(status int)) {
	if s.tracer == nil || !rt.traced {
		return r, func(int) {}
	}
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := s.tracer.Start(ctx, rt.method+" "+rt.path, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String(telemetry.HTTPMethod, rt.method), attribute.String(telemetry.HTTPRoute, rt.path)))
	return r.WithContext(ctx), func(status int) {
		span.SetAttributes(attribute.Int(telemetry.HTTPStatus, status))
		if status >= http.StatusInternalServerError {
			span.SetStatus(otel.Error, http.StatusText(status))
		}
		span.End()
	}
}
