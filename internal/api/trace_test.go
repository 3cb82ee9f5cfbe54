package api_test

import (
	"net/http"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringback/ringback/internal/api"
	"github.com/ringback/ringback/internal/node"
)

func TestASubmissionIsASpanInTheClientsTrace(t *testing.T) {
	t.Parallel()
	recorder := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("test")
	w := start(t, setup{api: api.Config{Tracer: tracer}, node: func(c *node.Config) { c.Tracer = tracer }})
	const body = `{"prompt":"Hi","events":[]}`
	got := w.do("POST", "/api/generate", body, "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate", "congo=t61rcWkgMzE")
	if got.StatusCode != http.StatusAccepted {
		t.Fatalf("got %s %s", got.Status, got.body)
	}
	if got := w.do("POST", "/api/generate", `{}`); got.StatusCode != http.StatusBadRequest {
		t.Errorf("got %s", got.Status)
	}
	w.do("GET", "/api/jobs", "")
	w.do("GET", "/healthz", "")

	var servers, sends []sdktrace.ReadOnlySpan
	for _, s := range recorder.Ended() {
		switch s.SpanKind() {
		case trace.SpanKindServer:
			servers = append(servers, s)
		case trace.SpanKindProducer:
			sends = append(sends, s)
		}
	}
	if len(servers) != 2 || len(sends) != 2 {
		t.Fatalf("there are %d server spans and %d of submissions, want 2 and 2: only what makes jobs has them", len(servers), len(sends))
	}
	server := servers[0]
	if server.Name() != "POST /api/generate" || server.Parent().SpanID().String() != "00f067aa0ba902b7" ||
		server.SpanContext().TraceID().String() != "4bf92f3577b34da6a3ce929d0e0e4736" || server.SpanContext().TraceState().String() != "congo=t61rcWkgMzE" {
		t.Errorf("the server's span is %q below %v", server.Name(), server.Parent())
	}
	if sends[0].Parent().SpanID() != server.SpanContext().SpanID() {
		t.Errorf("%q is not below the server's span", sends[0].Name())
	}
}
