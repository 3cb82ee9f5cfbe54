package main

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/config"
	"github.com/ringback/ringback/internal/simulate"
)

func TestTheEnvironmentSaysWhetherThereAreTraces(t *testing.T) {
	t.Parallel()
	const endpoint = "http://127.0.0.1:4318"
	for _, test := range []struct {
		env   map[string]string
		want  bool
		fault string
	}{
		{env: nil},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}, want: true},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint + "/v1/traces"}, want: true},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SDK_DISABLED": "true"}},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SDK_DISABLED": "false"}, want: true},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_EXPORTER": "none"}},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, want: true},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}}, // no traces are requested
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, fault: `OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" is not supported; set it to http/protobuf`},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_EXPORTER": "zipkin"}, fault: `OTEL_TRACES_EXPORTER: "zipkin" is not supported; set it to otlp`},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "127.0.0.1:4318"}, fault: "OTEL_EXPORTER_OTLP_ENDPOINT: is not the address of a collector"},
	} {
		got, err := config.TracesWanted(func(name string) string { return test.env[name] })
		if got != test.want || (err == nil) != (test.fault == "") || err != nil && !strings.HasPrefix(err.Error(), test.fault) {
			t.Errorf("%v: got %v, %v; want %v, %s", test.env, got, err, test.want, test.fault)
		}
	}
}

// sink records what is sent to a collector.
type sink struct {
	mu   sync.Mutex
	sent bytes.Buffer
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := io.Copy(&s.sent, r.Body); err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// run lets a server answer one job, with additional environment variables.
func (s *sink) run(t *testing.T, env map[string]string) (sent string, log string) {
	t.Helper()
	var list []string
	for name, value := range env {
		t.Setenv(name, value) // for the SDK
		list = append(list, name+"="+value)
	}
	receiver, url := receive(t, simulate.ReceiverConfig{Respond: []int{200}})
	server := start(t, []string{"--addr", "127.0.0.1:0", "--data", t.TempDir(), "--simulate", "--allow-callback", "127.0.0.0/8"}, list)
	if _, err := server.client.Submit(t.Context(), ringback.Request{Prompt: "confidential", CallbackURL: url}); err != nil {
		t.Fatal(err)
	}
	webhooks(t, receiver, 1)
	server.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent.String(), server.log.String()
}

func TestTracesAreSentToTheCollectorThatTheEnvironmentNames(t *testing.T) {
	s := &sink{}
	collector := httptest.NewServer(s)
	t.Cleanup(collector.Close)
	sent, log := s.run(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL, "OTEL_SERVICE_NAME": "ringback-of-a-test"})
	for _, want := range []string{"POST /api/generate", "send jobs", "process jobs", "chat sim/echo", "deliver webhook", "ringback-of-a-test"} {
		if !strings.Contains(sent, want) {
			t.Errorf("%q is not in what was sent", want)
		}
	}
	if strings.Contains(sent, "confidential") {
		t.Error("content has left by a trace")
	}
	if !strings.Contains(log, `"trace_id"`) {
		t.Errorf("the log names no trace:\n%s", log)
	}
}

func TestNoTracesAreSentUnlessTheyAreWanted(t *testing.T) {
	s := &sink{}
	collector := httptest.NewServer(s)
	t.Cleanup(collector.Close)
	off := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL, "OTEL_SDK_DISABLED": "true"}
	for _, env := range []map[string]string{nil, off} {
		if sent, log := s.run(t, maps.Clone(env)); sent != "" || strings.Contains(log, "traces") || strings.Contains(log, "trace_id") {
			t.Errorf("with %v this was sent: %q; log:\n%s", env, sent, log)
		}
	}
}

func TestACollectorThatRefusesCostsNothingButAWarning(t *testing.T) {
	collector := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(collector.Close)
	_, log := (&sink{}).run(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL})
	if !strings.Contains(log, `"level":"WARN","msg":"traces not sent"`) {
		t.Errorf("the log does not say so:\n%s", log)
	}
}
