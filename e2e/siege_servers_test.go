//go:build siege && unix

package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

// The providers and receivers of the siege. They read no more of a request than necessary,
// and write prepared texts: a provider that cost the machine more than the server would
// hide what the server costs.

var modelOf = regexp.MustCompile(`"model":"([^"]*)"`)

// called reads a request's model and, if it is small, its whole body.
func called(r *http.Request) (model string, body []byte) {
	in := bufio.NewReaderSize(r.Body, 64<<10)
	body, _ = in.Peek(64 << 10)
	if m := modelOf.FindSubmatch(body); m != nil {
		model = string(m[1])
	}
	body = slices.Clone(body)
	_, _ = io.Copy(io.Discard, in)
	return model, body
}

// goodAnswers returns the honest provider: sim/good returns the beginning of the prompt,
// sim/30 an answer of 30 MiB, sim/2 one of 2.
func goodAnswers() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		model, body := called(r)
		if size, err := strconv.Atoi(strings.TrimPrefix(model, "sim/")); err == nil {
			stream(w, firstEvent, textEvent(strings.Repeat("a large answer ", 4<<10)), size<<20, endOfAnswer)
			return
		}
		text := gjson.GetBytes(body, "messages.0.content").Str
		stream(w, firstEvent, "", 0, textEvent("you said "+text[:min(8, len(text))])+endOfAnswer)
	})
}

const endOfAnswer = `data: {"type":"content_block_stop","index":0}` + "\n\n" +
	`data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}` + "\n\n" + lastEvent

// stream writes head, then piece for that many bytes, then tail.
func stream(w http.ResponseWriter, head, piece string, size int, tail string) {
	w.Header().Set("Content-Type", "text/event-stream")
	pourOut(w, head, piece, size, tail)
}

func pourOut(w io.Writer, head, piece string, size int, tail string) {
	_, err := io.WriteString(w, head)
	for sent := 0; err == nil && sent < size; sent += len(piece) {
		_, err = io.WriteString(w, piece)
	}
	if err == nil {
		_, _ = io.WriteString(w, tail)
	}
}

// A badAnswer is one that a provider should not give.
type badAnswer struct {
	name string
	give func(w http.ResponseWriter, r *http.Request)
}

const mib = 1 << 20

var filler = strings.Repeat("k", 64<<10)

// withIn returns a stream in which text with a hole, %, is an event whose hole has that
// many bytes.
func withIn(event, piece string, size int, rest string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		head, tail, _ := strings.Cut(event, "%")
		stream(w, head, piece, size, tail+rest)
	}
}

const (
	bigModel = `data: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"%","content":[],"usage":{"input_tokens":1,"output_tokens":1}}}` + "\n\n"
	bigID    = `data: {"type":"message_start","message":{"id":"%","type":"message","role":"assistant","model":"m","content":[],"usage":{"input_tokens":1,"output_tokens":1}}}` + "\n\n"
	bigUsage = `data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1,"x":"%"}}` + "\n\n" + lastEvent
	bigNames = `data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1%}}` + "\n\n" + lastEvent
	bigStop  = `data: {"type":"message_delta","delta":{"stop_reason":"%"},"usage":{"output_tokens":1}}` + "\n\n" + lastEvent
	bigError = `data: {"type":"error","error":{"type":"overloaded_error","message":"%"}}` + "\n\n"
	oneDelta = `data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%"}}` + "\n\n"
)

var badAnswers = []badAnswer{
	{"a model of 40 MiB", withIn(bigModel, filler, 40*mib, textEvent("x")+endOfAnswer)},
	{"an id of 40 MiB", withIn(bigID, filler, 40*mib, textEvent("x")+endOfAnswer)},
	{"a usage of 40 MiB", withIn(firstEvent+textEvent("x")+bigUsage, filler, 40*mib, "")},
	{"a usage of many names", withIn(firstEvent+textEvent("x")+bigNames, strings.Repeat(`,"a":1`, 10<<10), 16*mib, "")},
	{"a stop_reason of 30 MiB", withIn(firstEvent+textEvent("x")+bigStop, filler, 30*mib, "")},
	{"an error of 30 MiB", withIn(firstEvent+textEvent("x")+bigError, filler, 30*mib, "")},
	{"one delta of 30 MiB", withIn(firstEvent+oneDelta, filler, 30*mib, endOfAnswer)},
	{"escapes of 30 MiB", withIn(firstEvent+oneDelta, strings.Repeat(`\u0001`, 10<<10), 30*mib, endOfAnswer)},
	{"deltas of 30 MiB", withIn(firstEvent+"%", textEvent(filler), 30*mib, endOfAnswer)},
	{"deltas of a byte", withIn(firstEvent+"%", strings.Repeat(textEvent("x"), 500), 8*mib, endOfAnswer)},
	{"many tools", func(w http.ResponseWriter, _ *http.Request) {
		var calls strings.Builder
		for i := 1; calls.Len() < 4*mib; i++ {
			fmt.Fprintf(&calls, `data: {"type":"content_block_start","index":%d,"content_block":{"type":"tool_use","id":"t","name":"n","input":{}}}`+"\n\n", i)
		}
		stream(w, firstEvent, "", 0, calls.String()+endOfAnswer)
	}},
	{"JSON of 30 MiB", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		pourOut(w, `{"id":"m","type":"message","role":"assistant","model":"m","stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1},"content":[{"type":"text","text":"`,
			filler, 30*mib, `"}]}`)
	}},
	{"JSON of many blocks", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		pourOut(w, `{"id":"m","type":"message","role":"assistant","model":"m","stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1},"content":[{"type":"text","text":""}`,
			strings.Repeat(`,0`, 32<<10), 30*mib, `]}`)
	}},
	{"a refusal of 30 MiB", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		pourOut(w, `{"type":"error","error":{"type":"invalid_request_error","message":"`, filler, 30*mib, `"}}`)
	}},
	{"a long request id", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Request-Id", strings.Repeat("i", 60<<10))
		stream(w, firstEvent, "", 0, textEvent("x")+endOfAnswer)
	}},
	{"a gzip bomb", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, bomb(65))
	}},
	{"keep-alives without end", dripping("", ": keep-alive\n\n", 20*time.Millisecond)},
	{"a slow stream", dripping(firstEvent, textEvent("x"), 100*time.Millisecond)},
	{"a slow 30 MiB", dripping(firstEvent, textEvent(filler), 20*time.Millisecond)},
	{"silence", dripping("", "", time.Hour)},
}

// dripping writes a piece from time to time until the server leaves.
func dripping(head, piece string, pause time.Duration) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, err := io.WriteString(w, head)
		for err == nil && http.NewResponseController(w).Flush() == nil && sleep(r.Context(), pause) {
			_, err = io.WriteString(w, piece)
		}
	}
}

// hostileAnswers starts the provider of enemy/N, which returns the N-th bad answer.
func hostileAnswers(t *testing.T, book *logbook) (url string, shut func()) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		model, _ := called(r)
		n, err := strconv.Atoi(strings.TrimPrefix(model, "enemy/"))
		if err != nil || n >= len(badAnswers) {
			http.NotFound(w, r)
			return
		}
		book.begin(badAnswers[n].name)
		defer book.end(badAnswers[n].name, "calls")
		badAnswers[n].give(w, r)
	}))
	shut = sync.OnceFunc(func() { s.CloseClientConnections(); s.Close() })
	t.Cleanup(shut)
	return s.URL, shut
}

func providerAttacks() (all []attack) {
	for n, b := range badAnswers {
		all = append(all, attack{"provider: " + b.name, 1, 16 * time.Second, func(ctx context.Context, g *target, r *rand.Rand) string {
			webhook := `"events":[]`
			if r.IntN(2) == 0 {
				webhook = `"callback_url":"` + g.hooks.any(r) + `"`
			}
			body := fmt.Sprintf(`{"model":"enemy/%d","prompt":"a","max_attempts":1,"max_wait_seconds":5,"timeout_seconds":5,"stream":%t,%s}`, n, r.IntN(2) == 0, webhook)
			if r.IntN(4) == 0 {
				return waitSiege(ctx, g, body)
			}
			return postSiege(ctx, g, "/api/generate", strings.NewReader(body), int64(len(body)))
		}})
	}
	return all
}

// hostileHooks are the URLs of hostile receivers, by kind.
type hostileHooks map[string][]string

func (h hostileHooks) any(r *rand.Rand) string {
	kind := hookKinds[r.IntN(len(hookKinds))]
	return h.of(kind.name, r)
}

func (h hostileHooks) of(kind string, r *rand.Rand) string { return h[kind][r.IntN(len(h[kind]))] }

// hookKinds are what a receiver does with a connection.
var hookKinds = []struct {
	name  string
	hosts int
	take  func(ctx context.Context, c net.Conn)
}{
	{"reads nothing", 20, func(ctx context.Context, c net.Conn) {
		_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		sleep(ctx, 15*time.Second)
	}},
	{"answers slowly with much", 4, func(_ context.Context, c net.Conn) {
		readHead(c)
		forever("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", strings.Repeat("x", 16<<10), 50*time.Millisecond)(c)
	}},
	{"refuses slowly with much", 4, func(_ context.Context, c net.Conn) {
		readHead(c)
		forever("HTTP/1.1 500 No\r\nContent-Length: 99999999\r\n\r\n", strings.Repeat("x", 16<<10), 50*time.Millisecond)(c)
	}},
	{"a header without end", 4, func(_ context.Context, c net.Conn) {
		readHead(c)
		forever("HTTP/1.1 200 OK\r\n", "X: "+strings.Repeat("x", 8<<10)+"\r\n", 50*time.Millisecond)(c)
	}},
	{"redirects", 2, func(_ context.Context, c net.Conn) {
		readHead(c)
		say("HTTP/1.1 307 Temporary Redirect\r\nLocation: " + metadataURL + "\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")(c)
	}},
	{"resets", 4, func(_ context.Context, c net.Conn) {
		readHead(c)
		_ = c.(*net.TCPConn).SetLinger(0)
	}},
}

func readHead(c net.Conn) { _, _ = io.ReadFull(c, make([]byte, 512)) }

func newHostileHooks(t *testing.T) (hooks hostileHooks, shut func()) {
	t.Helper()
	hooks = hostileHooks{}
	var shuts []func()
	for _, kind := range hookKinds {
		for range kind.hosts {
			url, shut := hostileHook(t, kind.take)
			hooks[kind.name] = append(hooks[kind.name], url)
			shuts = append(shuts, shut)
		}
	}
	return hooks, func() {
		for _, shut := range shuts {
			shut()
		}
	}
}

func hostileHook(t *testing.T, take func(context.Context, net.Conn)) (url string, shut func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, end := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			all.Go(func() {
				defer context.AfterFunc(ctx, func() { c.Close() })()
				defer c.Close()
				take(ctx, c)
			})
		}
	})
	shut = sync.OnceFunc(func() { l.Close(); end(); all.Wait() })
	t.Cleanup(shut)
	return "http://" + l.Addr().String() + "/hook", shut
}

// receiverAttacks send receivers webhooks of megabytes.
func receiverAttacks() (all []attack) {
	for _, kind := range hookKinds {
		all = append(all, attack{"receiver: " + kind.name, 1, 2 * time.Second, func(ctx context.Context, g *target, r *rand.Rand) string {
			model := "sim/2"
			if r.IntN(20) == 0 {
				model = "sim/20"
			}
			body := fmt.Sprintf(`{"model":%q,"prompt":"a","max_attempts":1,"result_ttl_seconds":60,"callback_url":%q}`, model, g.hooks.of(kind.name, r))
			return postSiege(ctx, g, "/api/generate", strings.NewReader(body), int64(len(body)))
		}})
	}
	return all
}
