package dispatch

import (
	"cmp"
	"context"
	"time"

	"github.com/tidwall/gjson"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/telemetry"
)

// An attempt is a trace of its own, with a link to the submit, whose context is stored with
// the job: minutes to days lie between them, and the process may have been another one.
// Jobs that the client does not sample are not traced.

// attemptTrace has the spans of an attempt and of its call. It may be nil: then there are
// none.
type attemptTrace struct {
	ctx     context.Context // holds process
	process trace.Span
	chat    trace.Span // nil before the call
	tracer  trace.Tracer
	began   time.Time // of the call
}

// traceAttempt begins the span of an attempt.
func traceAttempt(tracer trace.Tracer, j *store.Job) *attemptTrace {
	if tracer == nil {
		return nil
	}
	sent := telemetry.SpanContext(j.Options.TraceParent, j.Options.TraceState)
	if sent.IsValid() && !sent.IsSampled() {
		return nil
	}
	ctx, span := tracer.Start(telemetry.WithIDs(context.Background(), telemetry.AttemptSpan(j.ID, j.Fence)), "process jobs",
		trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindConsumer), telemetry.Linked(sent), trace.WithAttributes(
			attribute.String(telemetry.MessagingSystem, "ringback"), attribute.String(telemetry.MessagingOperation, "process"),
			attribute.String(telemetry.MessagingMessageID, j.ID.String()), attribute.String(telemetry.MessagingDestination, j.Provider),
			attribute.Int64(telemetry.Attempt, j.Fence)))
	return &attemptTrace{ctx: ctx, process: span, tracer: tracer}
}

// call begins the span of the call of the provider.
func (t *attemptTrace) call(j *store.Job, request []byte) {
	if t == nil {
		return
	}
	t.began = time.Now()
	_, t.chat = t.tracer.Start(t.ctx, "chat "+j.Model, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String(telemetry.GenAIOperation, "chat"), attribute.String(telemetry.GenAIProvider, j.Protocol),
		attribute.String(telemetry.GenAIRequestModel, j.Model), attribute.Bool(telemetry.GenAIRequestStream, true),
		attribute.String(telemetry.Provider, j.Provider)))
	if n := gjson.GetBytes(request, "max_tokens"); n.Exists() {
		t.chat.SetAttributes(attribute.Int64(telemetry.GenAIRequestMaxTokens, n.Int()))
	}
}

// called ends the span of the call; either of answer and failed is nil.
func (t *attemptTrace) called(answer *provider.Answer, failed *provider.Error, first time.Time) {
	if t == nil {
		return
	}
	defer t.chat.End()
	if answer != nil {
		first = answer.FirstTokenAt
		t.chat.SetAttributes(
			attribute.String(telemetry.GenAIResponseID, gjson.GetBytes(answer.Message, "id").String()),
			attribute.String(telemetry.GenAIResponseModel, answer.Model))
		t.used(answer.Usage)
	}
	if !first.IsZero() {
		t.chat.SetAttributes(attribute.Float64(telemetry.GenAITimeToFirstChunk, first.Sub(t.began).Seconds()))
	}
	if failed != nil {
		if failed.StatusCode != 0 {
			t.chat.SetAttributes(attribute.Int(telemetry.HTTPStatus, failed.StatusCode))
		}
		t.used(failed.PartialUsage)
		telemetry.Fail(t.chat, errorType(failed))
	}
}

func (t *attemptTrace) used(usage []byte) {
	for name, field := range map[string]string{telemetry.GenAIUsageInputTokens: "input_tokens", telemetry.GenAIUsageOutputTokens: "output_tokens"} {
		if n := gjson.GetBytes(usage, field); n.Exists() {
			t.chat.SetAttributes(attribute.Int64(name, n.Int()))
		}
	}
}

// end ends the span of an attempt that is settled, or broken off.
func (t *attemptTrace) end(res *outcome.Result) {
	if t == nil {
		return
	}
	if f := res.Failure(); f != nil {
		telemetry.Fail(t.process, errorType(f))
	} else if res.Stop() != "" {
		telemetry.Fail(t.process, telemetry.Stopped)
	}
	if t.chat != nil {
		t.chat.End() // again, unless a panic came between
	}
	t.process.End()
}

// errorType returns how a call failed, as an error.type. The provider's own text does not
// belong in a trace.
func errorType(f *provider.Error) string {
	return cmp.Or(string(f.Code), telemetry.Stopped)
}
