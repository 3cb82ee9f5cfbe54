package provider

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/ringback/ringback"
)

func TestTheRequestAsItIsSent(t *testing.T) {
	for name, test := range map[string]struct{ body, model, want string }{
		"asks for a stream, all else as it is stored": {
			`{"model": "m", "temperature": 1.0, "seed": 12345678901234567890, "x.y": "<&>\u00e9"}`, "",
			`{"model": "m", "temperature": 1.0, "seed": 12345678901234567890, "x.y": "<&>\u00e9","stream":true}`,
		},
		"asks for a stream even if the caller did not want one": {`{"stream":false,"model":"m"}`, "", `{"stream":true,"model":"m"}`},
		"the model may be another":                              {`{"model":"m","n":1.50}`, "fall\"back", `{"model":"fall\"back","n":1.50,"stream":true}`},
		"the same model changes nothing":                        {`{"model":"m"}`, "m", `{"model":"m","stream":true}`},
	} {
		t.Run(name, func(t *testing.T) {
			var got *http.Request
			var body []byte
			client := provide(t, func(w http.ResponseWriter, r *http.Request) {
				got = r
				body, _ = io.ReadAll(r.Body)
				stream(begin, block, some, finish)(w, r)
			})
			stored := []byte(test.body)
			generate(t, client, Request{Body: stored, Model: test.model})
			if string(body) != test.want {
				t.Errorf("body: got %s, want %s", body, test.want)
			}
			if string(stored) != test.body {
				t.Errorf("the stored request was changed to %s", stored)
			}
			if got.Method != http.MethodPost || got.URL.String() != "/v1/messages" {
				t.Errorf("got %s %s, want POST /v1/messages", got.Method, got.URL)
			}
			want := map[string]string{
				"X-Api-Key": testKey, "Anthropic-Version": "2023-06-01", "Content-Type": "application/json",
				"User-Agent": "Ringback", "Idempotency-Key": "", "Authorization": "", "Accept-Encoding": "identity", "Accept": "text/event-stream, application/json",
			}
			for header, value := range want {
				if got.Header.Get(header) != value {
					t.Errorf("%s: got %q, want %q", header, got.Header.Get(header), value)
				}
			}
		})
	}
}

func TestARequestThatIsNoObjectIsNotSent(t *testing.T) {
	client := provide(t, func(http.ResponseWriter, *http.Request) { t.Error("it was sent") })
	for _, body := range []string{"[]", " ", "null"} {
		got := failure(t.Context(), t, client, Request{Body: []byte(body)})
		if got.Verdict != Reject || got.Code != ringback.CodeInternal || got.Sent {
			t.Errorf("%q: got %s, %s, sent %v, want %s, %s, not sent", body, got.Verdict, got.Code, got.Sent, Reject, ringback.CodeInternal)
		}
	}
}

func TestAnyBaseURL(t *testing.T) {
	for base, want := range map[string]string{
		"https://api.anthropic.com":             "https://api.anthropic.com/v1/messages",
		"https://api.anthropic.com/":            "https://api.anthropic.com/v1/messages",
		"https://api.anthropic.com/v1":          "https://api.anthropic.com/v1/messages",
		"https://api.anthropic.com/v1/":         "https://api.anthropic.com/v1/messages",
		"https://api.anthropic.com/v1/messages": "https://api.anthropic.com/v1/messages",
		"http://127.0.0.1:8081/llm//":           "http://127.0.0.1:8081/llm/v1/messages",
		"http://[::1]:8081/a%2Fb":               "http://[::1]:8081/a%2Fb/v1/messages",
		"HTTPS://example.com/apiv1":             "https://example.com/apiv1/v1/messages",
	} {
		if got := clientOf(t, Config{BaseURL: base}).endpoint.String(); got != want {
			t.Errorf("%s: got %s, want %s", base, got, want)
		}
	}
}

func TestNewNamesTheFieldAtFault(t *testing.T) {
	good := Config{Name: "acme", Protocol: "anthropic", BaseURL: "https://example.com", APIKey: testKey}
	for name, test := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no name":          {func(c *Config) { c.Name = "" }, "name is required"},
		"no protocol":      {func(c *Config) { c.Protocol = "smtp" }, `protocol "smtp" is not one of anthropic`},
		"no base":          {func(c *Config) { c.BaseURL = "" }, "base_url is required"},
		"no scheme":        {func(c *Config) { c.BaseURL = "example.com" }, "base_url must begin with http:// or https://"},
		"another scheme":   {func(c *Config) { c.BaseURL = "ftp://example.com" }, "base_url must begin with http:// or https://"},
		"no host":          {func(c *Config) { c.BaseURL = "https:///x" }, "base_url must have a host"},
		"a password":       {func(c *Config) { c.BaseURL = "https://u:secret@example.com" }, "base_url must not have a user name or password"},
		"a query":          {func(c *Config) { c.BaseURL = "https://example.com?key=secret" }, "base_url must not have a query"},
		"a fragment":       {func(c *Config) { c.BaseURL = "https://example.com#secret" }, "base_url must not have a query or a fragment"},
		"no URL":           {func(c *Config) { c.BaseURL = "https://secret\x7f" }, "base_url is not a URL"},
		"a line in a key":  {func(c *Config) { c.APIKey = "secret\n" }, "api_key must be printable ASCII"},
		"a space in a key": {func(c *Config) { c.APIKey = "secret key" }, "api_key must be printable ASCII"},
	} {
		config := good
		test.change(&config)
		_, err := New(config)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error quotes a secret: %v", name, err)
		}
	}
}

func TestAServerWithoutAKeyIsCalledWithoutOne(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := r.Header["X-Api-Key"]; ok {
			t.Error("a key was sent")
		}
		stream(begin, block, some, finish)(w, r)
	}))
	t.Cleanup(server.Close)
	client, err := New(Config{Name: "acme", Protocol: "anthropic", BaseURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	generate(t, client, Request{})
}

func TestTheKeyIsNeverPrinted(t *testing.T) {
	config := Config{Name: "acme", Protocol: "anthropic", BaseURL: "http://127.0.0.1:1", APIKey: testKey}
	client := clientOf(t, config)
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "config", config, "client", client, "key", config.APIKey)
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "config", config, "client", client, "key", config.APIKey)
	encoded, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		logged.String(), string(encoded), fmt.Sprintf("%v %+v %#v %s %q", config, config, config, config.APIKey, config.APIKey),
		fmt.Sprintf("%v %+v %#v", client, client, client), fmt.Sprintf("%+v %#v", *client, *client),
	} {
		if strings.Contains(text, testKey) {
			t.Errorf("the key is in %s", text)
		}
	}
}

func TestHTTP2IsUsedWhereTLSOffersIt(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("got %s, want HTTP/2", r.Proto)
		}
		stream(begin, block, some, finish)(w, r)
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused certificate
	server.StartTLS()
	t.Cleanup(server.Close)
	client := clientOf(t, Config{BaseURL: server.URL})
	got := failure(t.Context(), t, client, Request{})
	if got.Verdict != Retry || got.Sent || !strings.Contains(got.Message, "its TLS certificate is not trusted") {
		t.Errorf("an unknown certificate: got %s, sent %v, %q", got.Verdict, got.Sent, got.Message)
	}
	client = clientOf(t, Config{BaseURL: server.URL})
	client.transport.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	client.transport.TLSClientConfig.NextProtos = nil
	sent := 0
	if answer := generate(t, client, Request{Sent: func() { sent++ }}); answer.Text != "Some text" || sent != 1 {
		t.Errorf("got %q, and Sent called %d times, want the answer and once", answer.Text, sent)
	}
}

func TestAConnectionIsUsedAgain(t *testing.T) {
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(stream(begin, block, some, finish))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	client := clientOf(t, Config{BaseURL: server.URL})
	for range 5 {
		generate(t, client, Request{})
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("got %d connections for 5 calls, want 1", n)
	}
}

// A server that keeps the stream open after its end does not delay the answer.
func TestAnAnswerDoesNotWaitForTheConnectionsEnd(t *testing.T) {
	client := provide(t, then(stream(begin, block, some, finish), silence))
	if answer := generate(t, client, Request{}); answer.Text != "Some text" {
		t.Errorf("got %q, want the answer", answer.Text)
	}
}

func TestTheCallbacksAreCalledOnceAndInOrder(t *testing.T) {
	var order []string
	var first time.Time
	client := provide(t, func(w http.ResponseWriter, r *http.Request) {
		stream(begin, ping, block, some, some, finish)(w, r)
	})
	answer := generate(t, client, Request{
		Sent:       func() { order = append(order, "sent") },
		FirstToken: func(at time.Time) { order, first = append(order, "first token"), at },
	})
	if got := strings.Join(order, ", "); got != "sent, first token" || !first.Equal(answer.FirstTokenAt) {
		t.Errorf("got %s at %v, want sent, first token at %v", got, first, answer.FirstTokenAt)
	}
}

func TestTheCallerMayStopTheCall(t *testing.T) {
	drain := errors.New("the node drains")
	for name, test := range map[string]struct{ sent, text string }{
		"before the headers":          {"", ""},
		"before the first event":      {headers, ""},
		"in the middle of the answer": {headers + begin + block + some, "Some text"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(10*time.Second, func() { cancel(drain) })
				_, got, took := inTime(ctx, t, Request{}, func(w io.Writer) {
					io.WriteString(w, test.sent)
					wait(time.Minute)
				})
				if got == nil || got.Verdict != Stopped || got.Code != "" || !errors.Is(got, drain) || got.PartialText != test.text || !got.Sent {
					t.Errorf("got %+v, want %s for the cause with %q", got, Stopped, test.text)
				}
				if took != 10*time.Second {
					t.Errorf("it took %s, want 10s", took)
				}
				wait(time.Hour) // the script ends
			})
		})
	}
	t.Run("before it begins", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(drain)
		got := failure(ctx, t, offline(t), Request{})
		if got.Verdict != Stopped || !errors.Is(got, drain) || got.Sent {
			t.Errorf("got %s, %v, sent %v, want %s, the cause, not sent", got.Verdict, got.Cause, got.Sent, Stopped)
		}
	})
}

// A whole answer that arrived first is an answer, whatever becomes of the context.
func TestAnAnswerThatWasThereFirstIsReturned(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	call := offline(t).newCall(ctx, Request{})
	defer call.cancel(nil)
	body := io.MultiReader(strings.NewReader(begin+block+some+finish), readerFunc(func([]byte) (int, error) {
		cancel()
		return 0, ctx.Err()
	}))
	answer, failure := call.receive(&http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(body)})
	if failure != nil || answer.Text != "Some text" {
		t.Fatalf("got %v, want the answer", failure)
	}
	if ctx.Err() == nil {
		t.Fatal("the context did not end, so this proves nothing")
	}
}

// A call can be stopped even while a body never makes it wait.
func TestABodyThatNeverWaitsCanBeStopped(t *testing.T) {
	stopped := errors.New("the job was cancelled")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stopped)
	call := offline(t).newCall(ctx, Request{})
	defer call.cancel(nil)
	sent := 0
	body := io.MultiReader(strings.NewReader(begin+block+some), readerFunc(func(p []byte) (int, error) {
		sent += len(ping)
		return copy(p, ping), nil
	}))
	_, failure := call.receive(&http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(body)})
	if failure == nil || failure.Verdict != Stopped || !errors.Is(failure, stopped) || failure.PartialText != "Some text" {
		t.Fatalf("got %+v, want %s for the cause with a partial", failure, Stopped)
	}
	if sent > 1<<20 {
		t.Errorf("%d bytes were read after the stop, want less than 1 MiB", sent)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// inTime runs a call in a bubble. The provider's side is a script that writes to the
// connection.
func inTime(ctx context.Context, t *testing.T, request Request, script func(w io.Writer)) (answer *Answer, failure *Error, took time.Duration) {
	t.Helper()
	client := clientOf(t, Config{BaseURL: "http://provider.test"})
	defer client.Close()
	client.transport.Proxy = nil
	client.transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			if request, err := http.ReadRequest(bufio.NewReader(theirs)); err == nil {
				io.Copy(io.Discard, request.Body)
				script(theirs)
			}
		}()
		return ours, nil
	}
	begun := time.Now()
	request.Body = []byte(testBody)
	answer, err := client.Generate(ctx, request)
	took = time.Since(begun)
	failure, _ = errors.AsType[*Error](err)
	return answer, failure, took
}

const headers = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"

func wait(d time.Duration) { time.Sleep(d) } // in a bubble: takes no real time

func TestTimeouts(t *testing.T) {
	for _, test := range []struct {
		name   string
		script func(w io.Writer)
		code   ringback.ErrorDetailCode // "" for an answer
		took   time.Duration
		text   string
	}{
		{"before the headers only the attempt's limit holds", func(io.Writer) { wait(time.Hour) }, ringback.CodeTimeout, 600 * time.Second, ""},
		{"before the first event only the attempt's limit holds", func(w io.Writer) {
			io.WriteString(w, headers)
			wait(time.Hour)
		}, ringback.CodeTimeout, 600 * time.Second, ""},
		{"a provider that thinks for long before it begins is waited for", func(w io.Writer) {
			wait(200 * time.Second)
			io.WriteString(w, headers)
			wait(200 * time.Second)
			io.WriteString(w, begin+block+some+finish)
		}, "", 400 * time.Second, "Some text"},
		{"behind the first event silence ends the call", func(w io.Writer) {
			io.WriteString(w, headers+begin)
			wait(time.Hour)
		}, ringback.CodeIdle, 120 * time.Second, ""},
		{"silence in the middle of a piece ends the call", func(w io.Writer) {
			io.WriteString(w, headers+begin+block+some)
			wait(100 * time.Second)
			io.WriteString(w, some[:40])
			wait(time.Hour)
		}, ringback.CodeIdle, 220 * time.Second, "Some text"},
		{"pings are life", func(w io.Writer) {
			io.WriteString(w, headers+begin+block)
			for range 4 {
				wait(119 * time.Second)
				io.WriteString(w, ping)
			}
			io.WriteString(w, some+finish)
		}, "", 476 * time.Second, "Some text"},
		{"pings do not lengthen the attempt", func(w io.Writer) {
			io.WriteString(w, headers+begin+block+some)
			for {
				wait(100 * time.Second)
				if _, err := io.WriteString(w, ping); err != nil {
					return
				}
			}
		}, ringback.CodeTimeout, 600 * time.Second, "Some text"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 600*time.Second)
				defer cancel()
				answer, failure, took := inTime(ctx, t, Request{}, test.script)
				if took != test.took {
					t.Errorf("it took %s, want %s", took, test.took)
				}
				if test.code == "" {
					if failure != nil || answer.Text != test.text {
						t.Fatalf("got %v, want the answer %q", failure, test.text)
					}
					return
				}
				if failure == nil || failure.Verdict != Retry || failure.Code != test.code || failure.PartialText != test.text {
					t.Fatalf("got %+v, want %s, %s with %q", failure, Retry, test.code, test.text)
				}
				wait(2 * time.Hour) // the script ends
			})
		})
	}
}

// While the node has no memory for more, the silence is ours.
func TestWaitingForMemoryIsNotTheProvidersSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		request := Request{Grow: func(context.Context, int) error { wait(300 * time.Second); return nil }}
		answer, failure, _ := inTime(t.Context(), t, request, func(w io.Writer) {
			io.WriteString(w, headers+begin+block+strings.Repeat(some, 500)+finish)
		})
		if failure != nil || len(answer.Text) != 500*len("Some text") {
			t.Fatalf("got %v, want the answer", failure)
		}
	})
}

func TestNoMemoryStopsTheCall(t *testing.T) {
	full := errors.New("the budget is gone")
	granted := 0
	big := strings.Repeat(some, 2000)
	got := failure(t.Context(), t, provide(t, stream(begin, block, some, big, finish)), Request{
		Grow: func(_ context.Context, n int) error {
			if granted += n; granted > 20_000 {
				return full
			}
			return nil
		},
	})
	if got.Verdict != Stopped || got.Code != "" || !errors.Is(got, full) || !strings.HasPrefix(got.PartialText, "Some text") {
		t.Errorf("got %s, %q, %v with %.20q, want %s for the cause with a partial", got.Verdict, got.Code, got.Cause, got.PartialText, Stopped)
	}
}

// Everything that an answer makes us hold has been asked for.
func TestMemoryIsAskedForBeforeItIsTaken(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"streamed":     stream(begin, block, strings.Repeat(some, 20_000), finish),
		"in one event": stream(begin, block, strings.Replace(some, "Some text", strings.Repeat("x", 180_000), 1), finish),
		"as JSON":      whole(200, `{"content":[{"type":"text","text":"`+strings.Repeat("x", 180_000)+`"}]}`),
	} {
		granted := 0
		answer := generate(t, provide(t, handler), Request{Grow: func(_ context.Context, n int) error { granted += n; return nil }})
		if held := len(answer.Message) + len(answer.Text); len(answer.Text) != 180_000 || granted < held || granted > 6*held {
			t.Errorf("%s: granted %d bytes for an answer that holds %d", name, granted, held)
		}
	}
}

func TestTheStoredRequestIsLetGoWhileTheAnswerStreams(t *testing.T) {
	client := provide(t, then(stream(begin, block, some), silence))
	ctx, cancel := context.WithCancel(t.Context())
	begun, ended := make(chan struct{}), make(chan struct{})
	call := func() weak.Pointer[byte] {
		body := []byte(testBody)
		go func() {
			defer close(ended)
			_, _ = client.Generate(ctx, Request{Body: body, FirstToken: func(time.Time) { close(begun) }})
		}()
		return weak.Make(&body[0])
	}
	kept := call()
	<-begun
	for deadline := time.Now().Add(10 * time.Second); kept.Value() != nil; runtime.GC() {
		if time.Now().After(deadline) {
			t.Error("it is still there")
			break
		}
	}
	cancel()
	<-ended
}
