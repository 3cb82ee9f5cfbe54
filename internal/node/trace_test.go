package node_test

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	otlp "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/simulate"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/telemetry"
)

// collector takes spans by OTLP over HTTP, as a real collector would.
type collector struct {
	t      *testing.T
	mu     sync.Mutex
	spans  []*spans.Span
	all    strings.Builder // everything that was sent, as text
	traces *telemetry.Traces
}

// collect starts a collector, and traces that are sent to it. The SDK reads an environment
// variable, so these tests are not parallel.
func collect(t *testing.T) *collector {
	t.Helper()
	c := &collector{t: t}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	var err error
	c.traces, err = telemetry.OpenTraces(t.Context(), telemetry.TraceConfig{
		Build: telemetry.Build{Version: "1.2.3"}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	must(t, err)
	must(t, os.Unsetenv("OTEL_EXPORTER_OTLP_ENDPOINT"))
	return c
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			c.t.Error(err)
			return
		}
		in = z
	}
	body, err := io.ReadAll(in)
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		c.t.Errorf("got %s %s of %s, %v", r.Method, r.URL, r.Header.Get("Content-Type"), err)
	}
	var request otlp.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		c.t.Error(err)
	}
	c.all.WriteString(request.String())
	for _, res := range request.GetResourceSpans() {
		if got := attributes(res.GetResource().GetAttributes()); got["service.name"] != "ringback" || got["service.version"] != "1.2.3" {
			c.t.Errorf("the resource is %v", got)
		}
		for _, scope := range res.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
	answer, err := proto.Marshal(&otlp.ExportTraceServiceResponse{})
	if err != nil {
		c.t.Error(err)
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.Write(answer)
}

// tracer sets the tracer of a setup's node.
func (c *collector) tracer(cfg *node.Config) { cfg.Tracer = c.traces.Tracer() }

// close waits until all spans are sent.
func (c *collector) close() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	must(c.t, c.traces.Close(ctx))
}

// named returns the spans of that name, in the order of their ends.
func (c *collector) named(name string) (all []*spans.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.GetName() == name {
			all = append(all, s)
		}
	}
	return all
}

// want checks that there are n spans of that name and kind, and returns them.
func (c *collector) want(name string, n int, kind spans.Span_SpanKind) []*spans.Span {
	c.t.Helper()
	all := c.named(name)
	if len(all) != n {
		c.t.Fatalf("there are %d spans %q, want %d", len(all), name, n)
	}
	for _, s := range all {
		if s.GetKind() != kind {
			c.t.Errorf("%q is of kind %s, want %s", name, s.GetKind(), kind)
		}
	}
	return all
}

func attributes(kv []*common.KeyValue) map[string]any {
	all := map[string]any{}
	for _, a := range kv {
		switch v := a.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			all[a.GetKey()] = v.StringValue
		case *common.AnyValue_IntValue:
			all[a.GetKey()] = v.IntValue
		case *common.AnyValue_BoolValue:
			all[a.GetKey()] = v.BoolValue
		case *common.AnyValue_DoubleValue:
			all[a.GetKey()] = v.DoubleValue
		}
	}
	return all
}

// wantAttributes checks that a span has these attributes; there may be others.
func wantAttributes(t *testing.T, s *spans.Span, want map[string]any) {
	t.Helper()
	got := attributes(s.GetAttributes())
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%q: %s is %v (%T), want %v (%T)", s.GetName(), name, got[name], got[name], value, value)
		}
	}
}

func id(b []byte) string { return hex.EncodeToString(b) }

// wantLink checks that a span has one link, to another.
func wantLink(t *testing.T, from, to *spans.Span) {
	t.Helper()
	l := from.GetLinks()
	if len(l) != 1 || id(l[0].GetTraceId()) != id(to.GetTraceId()) || id(l[0].GetSpanId()) != id(to.GetSpanId()) {
		t.Errorf("%q has the links %v, want one to %q %s %s", from.GetName(), l, to.GetName(), id(to.GetTraceId()), id(to.GetSpanId()))
	}
}

// The client's trace.
const (
	clientTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	clientParent = "00-" + clientTrace + "-00f067aa0ba902b7-01"
)

func (w *world) submitTraced(parent string, r ringback.Request) ringback.Job {
	w.t.Helper()
	r.CallbackURL = w.callback
	submission := asking(r)
	submission.Options.TraceParent, submission.Options.TraceState = parent, "congo=t61rcWkgMzE"
	j, _, err := w.node.Submit(w.t.Context(), submission)
	must(w.t, err)
	return j
}

func TestAJobsSpansAreLinkedFromTheClientToTheReceiver(t *testing.T) {
	c := collect(t)
	w := start(t, setup{node: c.tracer, receiver: simulate.ReceiverConfig{Respond: []int{500, 200}}})
	const mark = "confidential"
	j := w.submitTraced(clientParent, ringback.Request{
		Prompt: mark, Model: "sim/flaky-1", MaxTokens: new(77), System: json.RawMessage(`"` + mark + `"`),
		Metadata: json.RawMessage(`{"who":"` + mark + `"}`), CallbackHeaders: map[string]string{"X-Secret": mark},
	})
	w.settledDelivery(j.ID)
	job := w.job(j.ID)
	w.stop()
	c.close()

	send := c.want("send jobs", 1, spans.Span_SPAN_KIND_PRODUCER)[0]
	if id(send.GetTraceId()) != clientTrace || id(send.GetParentSpanId()) != "00f067aa0ba902b7" {
		t.Errorf("%q is in the trace %s below %s, want the client's", send.GetName(), id(send.GetTraceId()), id(send.GetParentSpanId()))
	}
	wantAttributes(t, send, map[string]any{"messaging.system": "ringback", "messaging.operation.type": "send", "messaging.message.id": j.ID, "messaging.destination.name": "simulated"})

	attempts := c.want("process jobs", 2, spans.Span_SPAN_KIND_CONSUMER)
	for i, a := range attempts {
		if len(a.GetParentSpanId()) != 0 || id(a.GetTraceId()) == clientTrace {
			t.Errorf("attempt %d is not a trace of its own", i+1)
		}
		wantLink(t, a, send)
	}
	wantAttributes(t, attempts[0], map[string]any{"messaging.message.id": j.ID, "messaging.operation.type": "process", "ringback.attempt": int64(1), "error.type": "provider_error"})
	if attempts[0].GetStatus().GetCode() != spans.Status_STATUS_CODE_ERROR || attempts[1].GetStatus().GetCode() != spans.Status_STATUS_CODE_UNSET {
		t.Errorf("the attempts' statuses are %v and %v", attempts[0].GetStatus(), attempts[1].GetStatus())
	}

	chats := c.want("chat sim/flaky-1", 2, spans.Span_SPAN_KIND_CLIENT)
	for i, chat := range chats {
		if id(chat.GetParentSpanId()) != id(attempts[i].GetSpanId()) || id(chat.GetTraceId()) != id(attempts[i].GetTraceId()) {
			t.Errorf("the call of attempt %d is not below it", i+1)
		}
		wantAttributes(t, chat, map[string]any{
			"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic", "gen_ai.request.model": "sim/flaky-1",
			"gen_ai.request.max_tokens": int64(77), "gen_ai.request.stream": true, "ringback.provider": "simulated",
		})
	}
	wantAttributes(t, chats[0], map[string]any{"error.type": "provider_error", "http.response.status_code": int64(500)})
	wantAttributes(t, chats[1], map[string]any{
		"gen_ai.response.model":      job.Model,
		"gen_ai.usage.input_tokens":  int64(number(t, job.Usage, "input_tokens")),
		"gen_ai.usage.output_tokens": int64(number(t, job.Usage, "output_tokens")),
	})
	if got := attributes(chats[1].GetAttributes()); got["gen_ai.response.id"] == "" || got["gen_ai.response.time_to_first_chunk"] == nil {
		t.Errorf("the answered call says %v", got)
	}

	tries := c.want("deliver webhook", 2, spans.Span_SPAN_KIND_CLIENT)
	for i, d := range tries {
		wantLink(t, d, attempts[1])
		if id(d.GetTraceId()) != clientTrace || id(d.GetParentSpanId()) != id(send.GetSpanId()) {
			t.Errorf("try %d is not in the client's trace", i+1)
		}
		want := "00-" + clientTrace + "-" + id(d.GetSpanId()) + "-01"
		if got := w.receiver.Deliveries()[i].Header; got.Get("traceparent") != want || got.Get("tracestate") != "congo=t61rcWkgMzE" {
			t.Errorf("the receiver of try %d got traceparent %s, tracestate %s; want %s", i+1, got.Get("traceparent"), got.Get("tracestate"), want)
		}
		wantAttributes(t, d, map[string]any{"http.request.method": "POST", "server.address": "127.0.0.1", "ringback.job_id": j.ID, "ringback.event": "job.completed"})
	}
	wantAttributes(t, tries[0], map[string]any{"http.response.status_code": int64(500), "error.type": "status"})
	wantAttributes(t, tries[1], map[string]any{"http.response.status_code": int64(200), "error.type": nil})
	if text := c.all.String(); strings.Contains(text, mark) || strings.Contains(text, "whsec_") || strings.Contains(text, "/hook") {
		t.Errorf("content has left by a trace:\n%s", text)
	}
}

// A process that was killed can't export its spans.
func TestTheLinksHoldOverARestart(t *testing.T) {
	c := collect(t)
	both := func(cfg *node.Config) { impatient(cfg); c.tracer(cfg) }
	held := make(chan struct{})
	first := start(t, setup{
		node: both, receiver: simulate.ReceiverConfig{Respond: []int{503, 200}},
		hold: func(call simulate.Call) <-chan struct{} {
			if call.Number == 1 {
				return held
			}
			return nil
		},
	})
	j := first.submitTraced(clientParent, ringback.Request{Prompt: "interrupted", Model: "sim/echo"})
	first.called("interrupted", 1)
	dir := first.kill()
	close(held)

	// The second answers the job; its webhook waits an hour for its next try.
	second := start(t, setup{dir: dir, from: first, node: func(cfg *node.Config) {
		both(cfg)
		schedule(76*time.Hour, time.Hour)(cfg)
	}})
	second.end(j.ID)
	second.eventually("a try", func() bool { return len(second.delivery(j.ID).Tries) == 1 })
	dir = second.kill()

	third := start(t, setup{dir: dir, from: first, node: both})
	page, err := third.node.Deliveries(t.Context(), "default", j.ID, "", 10)
	must(t, err)
	third.redeliver(page.Data[0].ID)
	third.eventually("the second try", func() bool { return len(third.delivery(j.ID).Tries) == 2 })
	third.stop()
	c.close()

	send := c.want("send jobs", 1, spans.Span_SPAN_KIND_PRODUCER)[0]
	attempts := c.named("process jobs")
	if len(attempts) < 2 {
		t.Fatalf("there are %d attempts, want two", len(attempts))
	}
	for _, a := range attempts {
		wantLink(t, a, send)
	}
	answered := slices.DeleteFunc(attempts, func(s *spans.Span) bool { return s.GetStatus().GetCode() == spans.Status_STATUS_CODE_ERROR })[0]
	for _, d := range c.want("deliver webhook", 2, spans.Span_SPAN_KIND_CLIENT) {
		wantLink(t, d, answered)
		if id(d.GetTraceId()) != clientTrace {
			t.Errorf("a try is in the trace %s, want the client's", id(d.GetTraceId()))
		}
	}
}

func (w *world) redeliver(delivery string) {
	w.t.Helper()
	must(w.t, w.store.Redeliver(w.t.Context(), "default", uuid.MustParse(delivery), store.Redelivery{Now: time.Now()}))
}

func TestWhatTheClientDoesNotSampleIsNotTraced(t *testing.T) {
	c := collect(t)
	w := start(t, setup{node: c.tracer})
	const unsampled = "00-" + clientTrace + "-00f067aa0ba902b7-00"
	j := w.submitTraced(unsampled, ringback.Request{Prompt: "Hi"})
	w.settledDelivery(j.ID)
	w.stop()
	c.close()
	if len(c.spans) != 0 {
		t.Errorf("got spans: %v", c.spans)
	}
	if got := w.receiver.Deliveries()[0].Header.Get("traceparent"); !strings.HasPrefix(got, "00-"+clientTrace+"-") || !strings.HasSuffix(got, "-00") {
		t.Errorf("the receiver got traceparent %q, want one of the client's trace that is not sampled", got)
	}
}

func TestAJobOfNoTraceBeginsOne(t *testing.T) {
	c := collect(t)
	w := start(t, setup{node: c.tracer})
	w.settledDelivery(w.ask("sim/echo", "no trace").ID)
	_, err := w.try(ringback.Request{Prompt: "Hi", WebhookBody: "half"})
	fault(t, err, ringback.InvalidRequest)
	w.stop()
	c.close()
	sent := c.want("send jobs", 2, spans.Span_SPAN_KIND_PRODUCER)
	if id(sent[0].GetTraceId()) == strings.Repeat("0", 32) || len(sent[0].GetParentSpanId()) != 0 {
		t.Errorf("%q is no root: %v", sent[0].GetName(), sent[0])
	}
	wantAttributes(t, sent[1], map[string]any{"error.type": "invalid_request"})
	wantLink(t, c.want("process jobs", 1, spans.Span_SPAN_KIND_CONSUMER)[0], sent[0])
}

// Without a tracer the client's trace goes on to the receiver as it came.
func TestWithoutATracerTheReceiverStillJoinsTheClientsTrace(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	w.settledDelivery(w.submitTraced(clientParent, ringback.Request{Prompt: "Hi"}).ID)
	if h := w.receiver.Deliveries()[0].Header; h.Get("traceparent") != clientParent || h.Get("tracestate") != "congo=t61rcWkgMzE" {
		t.Errorf("got traceparent %q, tracestate %q", h.Get("traceparent"), h.Get("tracestate"))
	}
	j := w.submit(ringback.Request{Prompt: "Hi", CallbackHeaders: map[string]string{"traceparent": "mine"}})
	w.settledDelivery(j.ID)
	if got := w.webhook(j.ID).Header.Values("traceparent"); !slices.Equal(got, []string{"mine"}) {
		t.Errorf("of a caller who sets it in callback_headers the receiver got %q", got)
	}
	w.settledDelivery(w.ask("sim/echo", "none").ID)
	if h := w.receiver.Deliveries()[2].Header; h.Get("traceparent") != "" {
		t.Errorf("of a job without a trace the receiver got traceparent %q", h.Get("traceparent"))
	}
}
