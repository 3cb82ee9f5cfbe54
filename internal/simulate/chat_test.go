package simulate

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// chat makes a call of chat completions, like a good client.
func (s stage) chat(t *testing.T, model, prompt string, stream bool) *http.Response {
	t.Helper()
	body := map[string]any{"model": model, "stream": stream, "messages": []any{map[string]any{"role": "user", "content": prompt}}}
	if stream {
		body["stream_options"] = map[string]any{"include_usage": true}
	}
	return s.send(t, "/v1/chat/completions", encode(body), bearer("key"))
}

func bearer(key string) func(http.Header) {
	return func(h http.Header) {
		h.Del("anthropic-version")
		h.Del("x-api-key")
		h.Set("Authorization", "Bearer "+key)
	}
}

// listenToChat reads a stream and assembles the message, with its own code.
func listenToChat(t *testing.T, body io.Reader) (completion map[string]any, last string, err error) {
	t.Helper()
	message := map[string]any{}
	for lines := bufio.NewScanner(body); ; {
		if !lines.Scan() {
			return completion, last, lines.Err()
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if last = data; data == "[DONE]" {
			continue
		}
		var chunk map[string]any
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			return completion, last, fmt.Errorf("data: %w", err)
		}
		if chunk["error"] != nil {
			continue
		}
		pieces := chunk["choices"].([]any)
		if completion == nil {
			completion = chunk
			completion["object"] = "chat.completion"
			completion["choices"] = []any{map[string]any{"index": 0.0, "message": message, "logprobs": nil, "finish_reason": nil}}
		}
		if chunk["usage"] != nil {
			completion["usage"] = chunk["usage"]
		}
		for _, piece := range pieces {
			collect(message, piece.(map[string]any)["delta"].(map[string]any))
			if reason := piece.(map[string]any)["finish_reason"]; reason != nil {
				completion["choices"].([]any)[0].(map[string]any)["finish_reason"] = reason
			}
		}
	}
}

func collect(message, delta map[string]any) {
	for name, piece := range delta {
		switch name {
		case "content", "reasoning_content":
			before, _ := message[name].(string)
			message[name] = before + piece.(string)
		case "tool_calls":
			call := piece.([]any)[0].(map[string]any)
			delete(call, "index")
			if message[name] == nil {
				message[name] = []any{call}
				continue
			}
			function := message[name].([]any)[0].(map[string]any)["function"].(map[string]any)
			function["arguments"] = function["arguments"].(string) + call["function"].(map[string]any)["arguments"].(string)
		default:
			message[name] = piece
		}
	}
}

func contentOf(completion map[string]any) string {
	return completion["choices"].([]any)[0].(map[string]any)["message"].(map[string]any)["content"].(string)
}

func TestChatCompletions(t *testing.T) {
	t.Parallel()
	for _, model := range []string{"sim/echo", "sim/slow", "sim/think", "sim/tool", "sim/blocks"} {
		t.Run("a stream of "+model+" adds up to what a call without stream returns", func(t *testing.T) {
			t.Parallel()
			s := newStage(t, ProviderConfig{Key: "key", Pace: time.Microsecond})
			prompt := "Grüße  <b>\n 👋\u2028 & more "
			got, last, err := listenToChat(t, s.chat(t, model, prompt, true).Body)
			if err != nil || last != "[DONE]" {
				t.Fatalf("the stream ended with %q, %v", last, err)
			}
			want := wholeMessage(t, s.chat(t, model, prompt, false))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("completion by stream (+) and without (-):\n%s", diff)
			}
			if model == "sim/echo" && contentOf(got) != prompt {
				t.Fatalf("echo: got %q, want %q", contentOf(got), prompt)
			}
			if c := s.ended(t, 1); c.End != Answered || c.Text != contentOf(got) || c.Path != "/v1/chat/completions" {
				t.Fatalf("log: %+v", c)
			}
		})
	}

	t.Run("it refuses and recovers as with the other protocol, in this one's words", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, ProviderConfig{})
		var statuses []int
		for range 4 {
			statuses = append(statuses, s.chat(t, "sim/flaky-3", "x", true).StatusCode)
		}
		if !slices.Equal(statuses, []int{500, 500, 500, 200}) {
			t.Errorf("sim/flaky-3: got %v", statuses)
		}
		for model, want := range map[string]string{
			"sim/429": "rate_limit_exceeded", "sim/status-401": "invalid_api_key", "sim/status-402": "insufficient_quota", "sim/none": "model_not_found",
		} {
			resp := s.chat(t, model, "x", true)
			said := wholeMessage(t, resp)
			if got := said["error"].(map[string]any)["code"]; got != want || resp.Header.Get("x-request-id") == "" {
				t.Errorf("%s: got %v", model, said)
			}
		}
		if resp := s.chat(t, "sim/error-after-1", "x", false); resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("overloaded: got %d, want 503", resp.StatusCode)
		}
	})

	for model, want := range map[string]struct {
		words int
		err   error
		end   string // of the last event
	}{
		"sim/break-off-0":   {0, io.ErrUnexpectedEOF, `"finish_reason":null}],"usage":null}`},
		"sim/break-off-7":   {7, io.ErrUnexpectedEOF, `"finish_reason":null}],"usage":null}`},
		"sim/short-7":       {7, nil, `"finish_reason":null}],"usage":null}`},
		"sim/error-after-5": {5, nil, `"type":"server_error","param":null,"code":null}}`},
	} {
		t.Run(model+" ends as its name says", func(t *testing.T) {
			t.Parallel()
			got, last, err := listenToChat(t, newStage(t, ProviderConfig{}).chat(t, model, "x", true).Body)
			if !errors.Is(err, want.err) || len(strings.Fields(contentOf(got))) != want.words || !strings.HasSuffix(last, want.end) {
				t.Errorf("got %q, then %s and %v", contentOf(got), last, err)
			}
		})
	}

	t.Run("a client's faults are refused as the real provider does", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, ProviderConfig{Key: "right"})
		const good = `{"model":"sim/echo","messages":[{"role":"system","content":"s"},{"role":"assistant","content":null,"tool_calls":[]},{"role":"tool","content":"x"}]}`
		for name, c := range map[string]struct {
			body, key string
			want      int
		}{
			"good":           {good, "right", 200},
			"key":            {good, "wrong", 401},
			"JSON":           {"{", "right", 400},
			"role":           {strings.Replace(good, `"tool"`, `"robot"`, 1), "right", 400},
			"content":        {strings.Replace(good, `"s"`, `null`, 1), "right", 400},
			"messages":       {`{"model":"sim/echo","messages":[]}`, "right", 400},
			"max_tokens":     {strings.Replace(good, `{`, `{"max_tokens":0,`, 1), "right", 400},
			"stream_options": {strings.Replace(good, `{`, `{"stream_options":{},`, 1), "right", 400},
		} {
			if resp := s.send(t, "/v1/chat/completions", []byte(c.body), bearer(c.key)); resp.StatusCode != c.want {
				t.Errorf("%s: got %d, want %d", name, resp.StatusCode, c.want)
			}
		}
	})
}
