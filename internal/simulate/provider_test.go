package simulate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// stage is a provider on loopback and the log of its calls.
type stage struct {
	*httptest.Server
	log *CallLog
}

func newStage(t *testing.T, c ProviderConfig) stage {
	t.Helper()
	log := &CallLog{}
	c.Observe = log.Observe
	s := stage{httptest.NewServer(NewProvider(c)), log}
	t.Cleanup(s.Close)
	return s
}

// call makes a call, like a good client.
func (s stage) call(t *testing.T, model, prompt string, stream bool) *http.Response {
	t.Helper()
	body := encode(map[string]any{
		"model": model, "max_tokens": 100, "stream": stream,
		"messages": []any{map[string]any{"role": "user", "content": prompt}},
	})
	return s.send(t, "/v1/messages", body, nil)
}

func (s stage) send(t *testing.T, path string, body []byte, change func(http.Header)) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("anthropic-version", "2023-06-01")
	req.Header.Set("x-api-key", "key")
	if change != nil {
		change(req.Header)
	}
	client := s.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// ended waits for the end of a call.
func (s stage) ended(t *testing.T, number int) Call {
	t.Helper()
	c, err := s.log.Wait(soon(t), func(c Call) bool { return c.Number == number && c.End != Running })
	if err != nil {
		t.Fatalf("call %d has not ended: %v; calls: %+v", number, err, s.log.Calls())
	}
	return c
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// told is the content of a stream.
type told struct {
	names []string
	text  string
	last  string // data of the last event
	m     map[string]any
}

// listen reads a stream and assembles the message, with its own code.
func listen(t *testing.T, body io.Reader) (told, error) {
	t.Helper()
	var s told
	var name string
	parts := map[float64]*strings.Builder{}
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		if n, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			name = n
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		s.names, s.last = append(s.names, name), data
		var d map[string]any
		if err := json.Unmarshal([]byte(data), &d); err != nil {
			return s, fmt.Errorf("data of %s: %w", name, err)
		}
		if d["type"] != name {
			t.Fatalf("event %q has type %q", name, d["type"])
		}
		s.assemble(d, parts)
	}
	return s, lines.Err()
}

func (s *told) assemble(d map[string]any, parts map[float64]*strings.Builder) {
	index, _ := d["index"].(float64)
	block := func() map[string]any { return s.m["content"].([]any)[int(index)].(map[string]any) }
	switch d["type"] {
	case "message_start":
		s.m = d["message"].(map[string]any)
	case "content_block_start":
		s.m["content"] = append(s.m["content"].([]any), d["content_block"])
		parts[index] = &strings.Builder{}
	case "content_block_delta":
		delta := d["delta"].(map[string]any)
		switch delta["type"] {
		case "text_delta":
			s.text += delta["text"].(string)
			block()["text"] = block()["text"].(string) + delta["text"].(string)
		case "thinking_delta":
			block()["thinking"] = block()["thinking"].(string) + delta["thinking"].(string)
		case "signature_delta":
			block()["signature"] = delta["signature"]
		case "input_json_delta":
			parts[index].WriteString(delta["partial_json"].(string))
		}
	case "content_block_stop":
		if input := parts[index].String(); input != "" {
			var v any
			_ = json.Unmarshal([]byte(input), &v)
			block()["input"] = v
		}
	case "message_delta":
		maps.Copy(s.m, d["delta"].(map[string]any))
		maps.Copy(s.m["usage"].(map[string]any), d["usage"].(map[string]any))
	}
}

func wholeMessage(t *testing.T, resp *http.Response) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, model := range []string{"sim/echo", "sim/slow", "sim/think", "sim/tool", "sim/blocks"} {
		t.Run("a stream of "+model+" adds up to what a call without stream returns", func(t *testing.T) {
			t.Parallel()
			s := newStage(t, ProviderConfig{Pace: time.Microsecond})
			prompt := "Grüße  <b>\n 👋\u2028 & more "
			got, err := listen(t, s.call(t, model, prompt, true).Body)
			if err != nil {
				t.Fatal(err)
			}
			want := wholeMessage(t, s.call(t, model, prompt, false))
			if diff := cmp.Diff(want, got.m); diff != "" {
				t.Fatalf("message by stream (+) and without (-):\n%s", diff)
			}
			if model == "sim/echo" && got.text != prompt {
				t.Fatalf("echo: got %q, want %q", got.text, prompt)
			}
			order := slices.Compact(got.names)
			if !slices.Equal(order[:3], []string{"message_start", "content_block_start", "ping"}) || order[len(order)-1] != "message_stop" {
				t.Fatalf("order of events: %q", order)
			}
		})
	}

	t.Run("sim/slow explains what a webhook is in 80 words, and the log has each of them", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, ProviderConfig{Pace: time.Millisecond})
		resp := s.call(t, "sim/slow", "What is a webhook?", true)
		half, err := s.log.Wait(soon(t), func(c Call) bool { return c.Words >= 31 })
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(half.Text, "A webhook is a request that comes to you when") || half.Of != 80 {
			t.Fatalf("call on its way: %q, of %d words", half.Text, half.Of)
		}
		got, err := listen(t, resp.Body)
		if err != nil || len(strings.Fields(got.text)) != 80 || !strings.HasSuffix(got.text, ".") {
			t.Fatalf("got %d words, error %v: %q", len(strings.Fields(got.text)), err, got.text)
		}
		c := s.ended(t, 1)
		if c.End != Answered || c.Words != 80 || c.Text != got.text || c.Status != 200 || !c.Stream {
			t.Fatalf("log at the end: %+v", c)
		}
	})

	t.Run("any other question has another answer of 80 words", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, ProviderConfig{Pace: time.Microsecond})
		m := wholeMessage(t, s.call(t, "sim/slow", "Why?", false))
		text := m["content"].([]any)[0].(map[string]any)["text"].(string)
		if n := len(strings.Fields(text)); n != 80 || !strings.HasSuffix(text, ".") || strings.Contains(text, "webhook") {
			t.Fatalf("%d words: %q", n, text)
		}
	})

	t.Run("the pace is kept", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, ProviderConfig{})
		start := time.Now()
		if _, err := listen(t, s.call(t, "sim/slow?words=10&pace=5ms&first=20ms", "x", true).Body); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 70*time.Millisecond {
			t.Fatalf("10 words at 5 ms after 20 ms took %v", took)
		}
	})

	t.Run("blocks of a prompt are read as its text", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, ProviderConfig{})
		m := wholeMessage(t, s.send(t, "/v1/messages", []byte(`{"model":"sim/echo","max_tokens":1,"messages":[
			{"role":"user","content":"old"},{"role":"assistant","content":"older"},
			{"role":"user","content":[{"type":"text","text":"two"},{"type":"image","source":{}},{"type":"text","text":"lines"}]}]}`), nil))
		if got := m["content"].([]any)[0].(map[string]any)["text"]; got != "two\nlines" {
			t.Fatalf("echo of blocks: got %q", got)
		}
	})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	statuses := func(t *testing.T, s stage, model, prompt string, n int) (got []int) {
		t.Helper()
		for range n {
			got = append(got, s.call(t, model, prompt, true).StatusCode)
		}
		return got
	}

	t.Run("sim/flaky-3 fails three times for each prompt, answers, and begins anew", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, ProviderConfig{})
		for _, prompt := range []string{"a", "b"} {
			want := []int{500, 500, 500, 200, 500}
			if got := statuses(t, s, "sim/flaky-3", prompt, 5); !slices.Equal(got, want) {
				t.Fatalf("prompt %s: got %v, want %v", prompt, got, want)
			}
		}
		s.ended(t, 9)
		s.ended(t, 10)
		calls := s.log.Of("b")
		if len(calls) != 5 || calls[3].Try != 4 || calls[3].End != Answered || calls[4].Try != 1 || calls[4].End != Refused {
			t.Fatalf("log of the calls for b: %+v", calls)
		}
	})

	t.Run("sim/429 refuses twice with Retry-After: 1", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, ProviderConfig{})
		resp := s.call(t, "sim/429", "a", true)
		if got := resp.Header.Get("Retry-After"); resp.StatusCode != http.StatusTooManyRequests || got != "1" {
			t.Fatalf("got %d with Retry-After %q", resp.StatusCode, got)
		}
		if got := statuses(t, s, "sim/429", "a", 3); !slices.Equal(got, []int{429, 200, 429}) {
			t.Fatalf("then: %v", got)
		}
	})

	t.Run("a status has the provider's error type, for ever or a few times", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, ProviderConfig{})
		for model, want := range map[string]string{
			"sim/status-400": "invalid_request_error", "sim/status-401": "authentication_error",
			"sim/status-402": "billing_error", "sim/status-403": "permission_error",
			"sim/status-413": "request_too_large", "sim/status-503": "api_error", "sim/status-529": "overloaded_error",
		} {
			resp := s.call(t, model, "x", true)
			if got := errorTypeOf(t, resp); fmt.Sprint("sim/status-", resp.StatusCode) != model || got != want {
				t.Errorf("%s: got %d %s, want %s", model, resp.StatusCode, got, want)
			}
		}
		if got := statuses(t, s, "sim/status-503?times=1&retry_after=7", "y", 2); !slices.Equal(got, []int{503, 200}) {
			t.Fatalf("503 once: got %v", got)
		}
		resp := s.call(t, "sim/status-307", "x", true)
		if got := resp.Header.Get("Location"); resp.StatusCode != http.StatusTemporaryRedirect || got != "/v1/messages/redirected" {
			t.Fatalf("redirect: %d to %q", resp.StatusCode, got)
		}
	})

	t.Run("what breaks off or is cut a few times goes well the next time", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, ProviderConfig{})
		for _, model := range []string{"sim/break-off-7?times=2", "sim/blocks?cut=900&times=2", "sim/error-after-0?times=2"} {
			var went []bool
			for range 4 {
				got, err := listen(t, s.call(t, model, "one two three four five six", true).Body)
				went = append(went, err == nil && slices.Contains(got.names, "message_stop"))
			}
			if !slices.Equal(went, []bool{false, false, true, false}) {
				t.Errorf("%s: the calls went well: %v", model, went)
			}
		}
	})

	t.Run("what is no model is not found", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, ProviderConfig{})
		for _, model := range []string{
			"sim/nothing", "claude-sonnet-5-5", "sim/echo-3", "sim/flaky", "sim/status", "sim/status-200",
			"sim/status-999", "sim/", "echo", "sim/flaky-9999999999",
		} {
			resp := s.call(t, model, "x", true)
			if got := errorTypeOf(t, resp); resp.StatusCode != http.StatusNotFound || got != "not_found_error" {
				t.Errorf("%s: got %d %s", model, resp.StatusCode, got)
			}
		}
		for _, model := range Models {
			if resp := s.call(t, model, "x", true); resp.StatusCode == http.StatusNotFound {
				t.Errorf("%s, which is in Models, is not found", model)
			}
		}
	})

	t.Run("a client's faults are refused as the real provider does", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, ProviderConfig{Key: "right"})
		const good = `{"model":"sim/echo","max_tokens":1,"messages":[{"role":"user","content":"x"}]}`
		right := func(h http.Header) { h.Set("x-api-key", "right") }
		for _, c := range []struct {
			name, path, body string
			change           func(http.Header)
			want             int
		}{
			{"good", "/v1/messages", good, right, 200},
			{"key", "/v1/messages", good, nil, 401},
			{"path", "/v1/complete", good, right, 404},
			{"version", "/v1/messages", good, func(h http.Header) { right(h); h.Del("anthropic-version") }, 400},
			{"content type", "/v1/messages", good, func(h http.Header) { right(h); h.Set("Content-Type", "text/plain") }, 400},
			{"JSON", "/v1/messages", `{`, right, 400},
			{"max_tokens", "/v1/messages", strings.Replace(good, `"max_tokens":1,`, "", 1), right, 400},
			{"messages", "/v1/messages", `{"model":"sim/echo","max_tokens":1,"messages":[]}`, right, 400},
			{"role", "/v1/messages", strings.Replace(good, "user", "system", 1), right, 400},
			{"content", "/v1/messages", strings.Replace(good, `"x"`, `""`, 1), right, 400},
			{"knob", "/v1/messages", strings.Replace(good, "echo", "echo?wrds=1", 1), right, 400},
			{"value of a knob", "/v1/messages", strings.Replace(good, "echo", "echo?words=-1", 1), right, 400},
			{"knob of another model", "/v1/messages", strings.Replace(good, "echo", "echo?times=1", 1), right, 400},
		} {
			if resp := s.send(t, c.path, []byte(c.body), c.change); resp.StatusCode != c.want {
				t.Errorf("%s: got %d, want %d", c.name, resp.StatusCode, c.want)
			}
		}
	})
}

func errorTypeOf(t *testing.T, resp *http.Response) string {
	t.Helper()
	var e struct {
		Type  string
		Error struct{ Type, Message string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&e); err != nil || e.Type != "error" || e.Error.Message == "" {
		t.Fatalf("error body: %+v, %v", e, err)
	}
	return e.Error.Type
}

func TestTroubles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		model   string
		words   int
		wantErr error
		last    string // event
	}{
		{"sim/break-off", 40, io.ErrUnexpectedEOF, "content_block_delta"},
		{"sim/break-off-0", 0, io.ErrUnexpectedEOF, "message_start"},
		{"sim/break-off-100", 100, io.ErrUnexpectedEOF, "content_block_delta"},
		{"sim/error-after-5", 5, nil, "error"},
		{"sim/short-7", 7, nil, "content_block_delta"},
	} {
		t.Run(c.model+" ends as its name says", func(t *testing.T) {
			t.Parallel()
			s := newStage(t, ProviderConfig{})
			got, err := listen(t, s.call(t, c.model, "x", true).Body)
			if !errors.Is(err, c.wantErr) {
				t.Fatalf("error: got %v, want %v", err, c.wantErr)
			}
			if n := len(strings.Fields(got.text)); n != c.words || got.names[len(got.names)-1] != c.last {
				t.Fatalf("got %d words and then %q, want %d and %q", n, got.names[len(got.names)-1], c.words, c.last)
			}
			if call := s.ended(t, 1); call.End != Broken || call.Words != c.words {
				t.Fatalf("log: %s after %d words", call.End, call.Words)
			}
		})
	}

	t.Run("sim/error-after says overloaded, in a stream and without", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, ProviderConfig{})
		got, err := listen(t, s.call(t, "sim/error-after-1", "x", true).Body)
		if want := `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`; err != nil || got.last != want {
			t.Fatalf("got %s (%v), want %s", got.last, err, want)
		}
		if resp := s.call(t, "sim/error-after-1", "x", false); resp.StatusCode != 529 {
			t.Fatalf("without stream: %d", resp.StatusCode)
		}
	})

	t.Run("sim/garbage is no event stream", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, ProviderConfig{})
		if _, err := listen(t, s.call(t, "sim/garbage-3", "x", true).Body); err == nil {
			t.Fatal("garbage was read without an error")
		}
	})

	for model, words := range map[string]int{"sim/silent-3": 3, "sim/endless": 1, "sim/slow?pace=1h": 0} {
		t.Run(model+" goes on until the client leaves, and the log says so", func(t *testing.T) {
			t.Parallel()
			s := newStage(t, ProviderConfig{})
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			s.call(t, "sim/echo", "first", false)
			go func() { // the head of an answer may take a while
				if _, err := s.log.Wait(soon(t), func(c Call) bool { return c.Number == 2 && c.Words >= words }); err == nil {
					leave()
				}
			}()
			s.abandon(ctx, model)
			if c := s.ended(t, 2); c.End != ClientLeft || c.Words < words {
				t.Fatalf("log: %s after %d words, want %q after %d", c.End, c.Words, ClientLeft, words)
			}
		})
	}

	t.Run("sim/mute does not even answer", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, ProviderConfig{})
		ctx, leave := context.WithCancel(t.Context())
		go func() {
			_, _ = s.log.Wait(soon(t), func(c Call) bool { return c.Model == "sim/mute" })
			leave()
		}()
		s.abandon(ctx, "sim/mute")
		if c := s.ended(t, 1); c.End != ClientLeft || c.Status != 0 {
			t.Fatalf("log: %s, status %d", c.End, c.Status)
		}
	})

	for _, stream := range []bool{true, false} {
		t.Run(fmt.Sprintf("the connection breaks after any byte (stream: %v)", stream), func(t *testing.T) {
			t.Parallel()
			s := newStage(t, ProviderConfig{})
			all, err := io.ReadAll(s.call(t, "sim/echo?cut=100000", "one two", stream).Body)
			if err != nil {
				t.Fatal(err)
			}
			model := "sim/echo?cut=%06d" // as long as the first, which the answer names
			for n := range len(all) + 1 {
				got, err := io.ReadAll(s.call(t, fmt.Sprintf(model, n), "one two", stream).Body)
				if !errors.Is(err, io.ErrUnexpectedEOF) || len(got) != n {
					t.Fatalf("cut after %d bytes: got %d, error %v", n, len(got), err)
				}
			}
		})
	}
}

// abandon makes a call and reads it until the context ends.
func (s stage) abandon(ctx context.Context, model string) {
	body := fmt.Sprintf(`{"model":%q,"max_tokens":1,"stream":true,"messages":[{"role":"user","content":"x"}]}`, model)
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/v1/messages", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("anthropic-version", "2023-06-01")
	if resp, err := s.Client().Do(req); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}
