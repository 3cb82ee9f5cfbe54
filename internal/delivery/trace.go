package delivery

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/telemetry"
	"github.com/ringback/ringback/internal/webhook"
)

// trace begins the span of a try, in the client's trace, and puts its context among the
// headers. Without a span the client's own context goes on as it came. The function that it
// returns ends the span.
func (d *Dispatcher) trace(row *store.Delivery, p *store.Payload, header http.Header) func(webhook.Result) {
	given := header.Get(telemetry.HeaderTraceParent) != "" // the caller has chosen it
	var made trace.SpanContext
	if d.cfg.Tracer != nil {
		made = telemetry.SpanContext(p.TraceParent, p.TraceState)
	}
	if d.cfg.Tracer == nil || made.IsValid() && !made.IsSampled() {
		if !given {
			telemetry.SetTrace(header, p.TraceParent, p.TraceState)
		}
		return func(webhook.Result) {}
	}
	ctx, span := d.cfg.Tracer.Start(trace.ContextWithRemoteSpanContext(context.Background(), made), "deliver webhook",
		trace.WithSpanKind(trace.SpanKindClient), telemetry.Linked(telemetry.AttemptSpan(row.JobID, p.Attempt)), trace.WithAttributes(
			attribute.String(telemetry.HTTPMethod, http.MethodPost), attribute.String(telemetry.DeliveryID, row.ID.String()),
			attribute.String(telemetry.JobID, row.JobID.String()), attribute.String(telemetry.EventType, string(row.Event))))
	span.SetAttributes(server(row.Host)...)
	if !given {
		telemetry.Inject(ctx, header)
	}
	return func(res webhook.Result) {
		if res.StatusCode != 0 {
			span.SetAttributes(attribute.Int(telemetry.HTTPStatus, res.StatusCode))
		}
		if res.Verdict != webhook.Delivered {
			class := string(res.Class)
			if class == "" {
				class = telemetry.Stopped
			}
			telemetry.Fail(span, class)
		}
		span.End()
	}
}

// server names the host of a receiver; a URL's path and query may hold secrets.
func server(host string) []attribute.KeyValue {
	u, err := url.Parse(host)
	if err != nil {
		return nil
	}
	port, _ := strconv.Atoi(u.Port()) // the guard has written it
	return []attribute.KeyValue{attribute.String(telemetry.ServerAddress, u.Hostname()), attribute.Int(telemetry.ServerPort, port)}
}
