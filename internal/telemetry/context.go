package telemetry

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"net/http"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// The headers of W3C Trace Context.
const (
	HeaderTraceParent = "traceparent"
	HeaderTraceState  = "tracestate"
)

// w3c reads and writes traceparent and tracestate.
var w3c propagation.TraceContext

// SpanContext reads a span context that was stored; it is invalid if there was none.
func SpanContext(parent, state string) trace.SpanContext {
	carrier := propagation.MapCarrier{HeaderTraceParent: parent, HeaderTraceState: state}
	return trace.SpanContextFromContext(w3c.Extract(context.Background(), carrier))
}

// Stored returns the span of ctx in the form in which it is stored; SpanContext reads it.
func Stored(ctx context.Context) (parent, state string) {
	carrier := propagation.MapCarrier{}
	w3c.Inject(ctx, carrier)
	return carrier.Get(HeaderTraceParent), carrier.Get(HeaderTraceState)
}

// Inject adds the span of ctx to the headers of a request.
func Inject(ctx context.Context, header http.Header) {
	w3c.Inject(ctx, propagation.HeaderCarrier(header))
}

// SetTrace adds a stored span context to the headers of a request, if there is one.
func SetTrace(header http.Header, parent, state string) {
	if parent == "" {
		return
	}
	header.Set(HeaderTraceParent, parent)
	if state != "" {
		header.Set(HeaderTraceState, state)
	}
}

// TraceID returns the trace that a traceparent belongs to; "" if there is none.
func TraceID(traceparent string) string {
	if len(traceparent) < 35 {
		return ""
	}
	return traceparent[3:35]
}

// Linked links a span to another one, unless that is invalid.
func Linked(to trace.SpanContext) trace.SpanStartOption {
	if !to.IsValid() {
		return trace.WithLinks()
	}
	return trace.WithLinks(trace.Link{SpanContext: to})
}

// Fail marks a span as failed, with one word that says why.
func Fail(span trace.Span, word string) {
	span.SetAttributes(attribute.String(ErrorType, word))
	span.SetStatus(codes.Error, word)
}

// Stopped is the error.type of a call that we ended ourselves.
const Stopped = "stopped"

// AttemptSpan returns the span context of a job's attempt: its ids are derived from what is
// stored. Attempt 0 has none.
func AttemptSpan(job uuid.UUID, attempt int64) trace.SpanContext {
	if attempt == 0 {
		return trace.SpanContext{}
	}
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(append([]byte("attempt"), job[:]...), uint64(attempt)))
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID(sum[:16]), SpanID: trace.SpanID(sum[16:24]), TraceFlags: trace.FlagsSampled, Remote: true,
	})
}
