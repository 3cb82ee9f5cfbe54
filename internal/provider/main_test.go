package provider

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testKey  = "sk-test-0123456789"
	testBody = `{"model":"claude-sonnet-4-5","max_tokens":64,"messages":[{"role":"user","content":"Hello"}]}`
)

// provide starts a provider on loopback, and returns a client for it.
func provide(t testing.TB, handler http.HandlerFunc) *Client {
	t.Helper()
	return provideTo(t, Config{}, handler)
}

// provideTo is provide for a client that has everything but the address.
func provideTo(t testing.TB, config Config, handler http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	config.BaseURL = server.URL
	return clientOf(t, config)
}

// clientOf fills in what a test does not care about.
func clientOf(t testing.TB, config Config) *Client {
	t.Helper()
	config.Name, config.Protocol, config.APIKey = "acme", cmp.Or(config.Protocol, "anthropic"), testKey
	client, err := New(config)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(client.Close)
	return client
}

// generate calls the provider and expects an answer.
func generate(t testing.TB, client *Client, request Request) *Answer {
	t.Helper()
	if request.Body == nil {
		request.Body = []byte(testBody)
	}
	heard := listen(t, &request)
	answer, err := client.Generate(t.Context(), request)
	if err != nil {
		t.Fatalf("Generate: got %v, want an answer", err)
	}
	heard.check(t, client, answer, nil)
	return answer
}

// failure calls the provider and expects an error.
func failure(ctx context.Context, t testing.TB, client *Client, request Request) *Error {
	t.Helper()
	if request.Body == nil {
		request.Body = []byte(testBody)
	}
	heard := listen(t, &request)
	answer, err := client.Generate(ctx, request)
	if err == nil {
		t.Fatalf("Generate: got the answer %q, want an error", answer.Text)
	}
	failure, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("Generate: got a %T, want an *Error: %v", err, err)
	}
	heard.check(t, client, nil, failure)
	return failure
}

// receive reads a stream without a connection, and without Generate's recovery from panics.
func receive(t testing.TB, client *Client, stream io.Reader) (*Answer, *Error) {
	return receiveAs(t, client, Request{}, "text/event-stream", stream)
}

func receiveAs(t testing.TB, client *Client, request Request, contentType string, body io.Reader) (*Answer, *Error) {
	heard := listen(t, &request)
	call := client.newCall(t.Context(), request)
	defer call.cancel(nil)
	answer, failure := call.receive(&http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{"Content-Type": {contentType}},
		Body:       io.NopCloser(body),
	})
	heard.check(t, client, answer, failure)
	return answer, failure
}

// offline returns a client whose provider is never called.
func offline(t testing.TB) *Client { return clientOf(t, Config{BaseURL: "http://127.0.0.1:1"}) }

// stream answers with a stream, sent in the pieces given.
func stream(pieces ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		w.Header().Set("request-id", "req_1")
		for _, piece := range pieces {
			io.WriteString(w, piece)
			http.NewResponseController(w).Flush()
		}
	}
}

// whole answers at once, in JSON.
func whole(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// then serves first, then second.
func then(first, second http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		first(w, r)
		second(w, r)
	}
}

// abort breaks the connection off.
func abort(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// silence answers nothing more until the caller has left.
func silence(_ http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body) // only after it does the server notice that the caller has left
	<-r.Context().Done()
}

// raw answers a client as no HTTP server would.
func raw(t testing.TB, speak func(net.Conn)) *Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 4<<10)) // the request
			speak(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	return clientOf(t, Config{BaseURL: "http://" + listener.Addr().String()})
}

// golden returns the recorded streams of a protocol by name.
func golden(t testing.TB, protocol string) map[string]string {
	t.Helper()
	files, err := filepath.Glob("testdata/" + protocol + "/*.sse")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded streams in testdata: %v", err)
	}
	streams := make(map[string]string)
	for _, file := range files {
		streams[strings.TrimSuffix(filepath.Base(file), ".sse")] = content(t, file)
	}
	return streams
}

func content(t testing.TB, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The parts of a small answer.
const (
	begin = `event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":1}}}

`
	ping  = "event: ping\ndata: {\"type\": \"ping\"}\n\n"
	block = `event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

`
	some = `event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Some text"}}

`
	finish = `event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2}}

event: message_stop
data: {"type":"message_stop"}

`
)
