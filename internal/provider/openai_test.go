package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/protocol"
)

func ofOpenAI(t testing.TB, handler http.HandlerFunc) *Client {
	return provideTo(t, Config{Protocol: "openai"}, handler)
}

func TestEncodeChatCompletion(t *testing.T) {
	params := func(name, value string) map[string]json.RawMessage {
		return map[string]json.RawMessage{name: json.RawMessage(value)}
	}
	for name, test := range map[string]struct {
		prompt protocol.Prompt
		want   string
	}{
		"a prompt is one user message": {
			protocol.Prompt{Model: "gpt-4o", Prompt: "Hi <b>"},
			`{"model":"gpt-4o","max_tokens":4096,"messages":[{"role":"user","content":"Hi <b>"}]}`,
		},
		"the system prompt is the first message": {
			protocol.Prompt{Model: "m", Messages: json.RawMessage(` [ {"role":"user","content":"\u0041","n":1.0} ]`), System: json.RawMessage(`"Be brief."`)},
			`{"model":"m","max_tokens":4096,"messages":[{"role":"system","content":"Be brief."}, {"role":"user","content":"\u0041","n":1.0} ]}`,
		},
		"the system prompt may be parts": {
			protocol.Prompt{Model: "m", Prompt: "Hi", System: json.RawMessage(`[{"type":"text","text":"Be brief."}]`)},
			`{"model":"m","max_tokens":4096,"messages":[{"role":"system","content":[{"type":"text","text":"Be brief."}]},{"role":"user","content":"Hi"}]}`,
		},
		"a model that thinks first has another bound": {
			protocol.Prompt{Model: "gpt-5-mini", Prompt: "Hi", MaxTokens: 7},
			`{"model":"gpt-5-mini","max_completion_tokens":7,"messages":[{"role":"user","content":"Hi"}]}`,
		},
		"the caller's own bound goes before": {
			protocol.Prompt{Model: "m", Prompt: "Hi", MaxTokens: 7, Params: params("max_completion_tokens", "9")},
			`{"model":"m","messages":[{"role":"user","content":"Hi"}],"max_completion_tokens":9}`,
		},
		"params pass with all their digits": {
			protocol.Prompt{Model: "m", Prompt: "Hi", Params: params("seed", "12345678901234567890")},
			`{"model":"m","max_tokens":4096,"messages":[{"role":"user","content":"Hi"}],"seed":12345678901234567890}`,
		},
	} {
		got, err := protocol.EncodeRequest("openai", test.prompt)
		if err != nil || string(got) != test.want || !json.Valid(got) {
			t.Errorf("%s: got %s and %v, want %s", name, got, err, test.want)
		}
	}
}

func TestTheChatCompletionAsItIsSent(t *testing.T) {
	for name, test := range map[string]struct{ body, model, want string }{
		"asks for a stream with usage": {
			`{"model": "m", "seed": 12345678901234567890, "x": "<&>\u00e9"}`, "",
			`{"model": "m", "seed": 12345678901234567890, "x": "<&>\u00e9","stream":true,"stream_options":{"include_usage":true}}`,
		},
		"keeps other options of the stream": {
			`{"model":"m","stream_options":{"include_usage":false,"include_obfuscation":false}}`, "m",
			`{"model":"m","stream_options":{"include_usage":true,"include_obfuscation":false},"stream":true}`,
		},
		"options that are null are none": {
			`{"model":"m","stream_options":null}`, "",
			`{"model":"m","stream":true,"stream_options":{"include_usage":true}}`,
		},
		"another model may want another bound": {
			`{"model":"gpt-4o","max_tokens":5,"n":1.0}`, "gpt-5",
			`{"model":"gpt-5","n":1.0,"stream":true,"max_completion_tokens":5,"stream_options":{"include_usage":true}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			client := ofOpenAI(t, func(w http.ResponseWriter, r *http.Request) {
				if body, _ := io.ReadAll(r.Body); string(body) != test.want {
					t.Errorf("body: got %s, want %s", body, test.want)
				}
				if got := r.Method + " " + r.URL.String(); got != "POST /v1/chat/completions" {
					t.Errorf("got %s, want POST /v1/chat/completions", got)
				}
				if got := r.Header.Get("Authorization"); got != "Bearer "+testKey || r.Header.Get("x-api-key") != "" {
					t.Errorf("Authorization: got %q, want the key", got)
				}
				stream(chunkBegin, chunkSome, chunkFinish)(w, r)
			})
			generate(t, client, Request{Body: []byte(test.body), Model: test.model})
		})
	}
}

func TestAnyBaseURLOfChatCompletions(t *testing.T) {
	for base, want := range map[string]string{
		"https://api.openai.com/v1":                               "https://api.openai.com/v1/chat/completions",
		"https://api.openai.com/v1/":                              "https://api.openai.com/v1/chat/completions",
		"https://api.openai.com":                                  "https://api.openai.com/v1/chat/completions",
		"https://api.openai.com/v1/chat/completions":              "https://api.openai.com/v1/chat/completions",
		"http://127.0.0.1:8080/chat/completions/":                 "http://127.0.0.1:8080/v1/chat/completions",
		"http://127.0.0.1:11434":                                  "http://127.0.0.1:11434/v1/chat/completions",
		"http://[::1]:11434/v1":                                   "http://[::1]:11434/v1/chat/completions",
		"https://openrouter.ai/api/v1":                            "https://openrouter.ai/api/v1/chat/completions",
		"https://generativelanguage.googleapis.com/v1beta/openai": "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
	} {
		if got := clientOf(t, Config{Protocol: "openai", BaseURL: base}).endpoint.String(); got != want {
			t.Errorf("%s: got %s, want %s", base, got, want)
		}
	}
}

// openaiSaid returns an error in OpenAI's form.
func openaiSaid(kind, code, message string) string {
	return fmt.Sprintf(`{"error":{"message":%q,"type":%q,"param":null,"code":%s}}`, message, kind, code)
}

// The design's table again, in the terms of chat completions.
func TestWhatAChatCompletionsProviderSays(t *testing.T) {
	const badKey = ringback.CodeProviderRefusedKey
	const provErr, rejected, noModel = ringback.CodeProviderError, ringback.CodeProviderRejected, ringback.CodeModelNotFound
	for _, row := range []struct {
		status  int
		body    string
		verdict Verdict
		code    ringback.ErrorDetailCode
		kind    string
	}{
		{401, openaiSaid("invalid_request_error", `"invalid_api_key"`, "Incorrect API key provided."), HoldKey, badKey, "invalid_api_key"},
		{429, openaiSaid("insufficient_quota", `"insufficient_quota"`, "You exceeded your current quota."), HoldKey, badKey, "insufficient_quota"},
		{403, openaiSaid("insufficient_quota", `null`, "You exceeded your current quota."), HoldKey, badKey, "insufficient_quota"},
		{400, openaiSaid("invalid_request_error", `"billing_hard_limit_reached"`, "Billing hard limit has been reached"), HoldKey, badKey, "billing_hard_limit_reached"},
		{402, openaiSaid("unknown_error", `"invalid_request_error"`, "Insufficient Balance"), HoldKey, badKey, "invalid_request_error"},
		{403, openaiSaid("request_forbidden", `"unsupported_country_region_territory"`, "Country not supported"), HoldKey, badKey, "unsupported_country_region_territory"},
		{403, `{"error":{"message":"Your chosen model requires moderation and your input was flagged","code":403,"metadata":{"reasons":["harassment"]}}}`, Reject, rejected, ""},

		{404, openaiSaid("invalid_request_error", `"model_not_found"`, "The model `x` does not exist or you do not have access to it."), ModelMissing, noModel, "model_not_found"},
		{400, openaiSaid("invalid_request_error", `"model_not_found"`, "The model x does not exist."), ModelMissing, noModel, "model_not_found"},
		{403, openaiSaid("invalid_request_error", `"model_not_found"`, "Project `p` does not have access to model `x`"), ModelMissing, noModel, "model_not_found"},
		{404, `{"error":{"message":"model \"x\" not found, try pulling it first","type":"api_error","param":null,"code":null}}`, ModelMissing, noModel, "api_error"},
		{404, `{"object":"error","message":"The model x does not exist.","type":"NotFoundError","param":null,"code":404}`, ModelMissing, noModel, "NotFoundError"},
		{400, `{"error":{"message":"Model Not Exist","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}`, ModelMissing, noModel, "invalid_request_error"},
		{400, `{"object":"error","message":"Invalid model: x","type":"invalid_model","param":null,"code":"1500"}`, ModelMissing, noModel, "1500"},
		{404, `[{"error":{"code":404,"message":"models/x is not found","status":"NOT_FOUND"}}]`, ModelMissing, noModel, "NOT_FOUND"},
		{404, `{"code":"Some requested entity was not found","error":"The model x does not exist"}`, ModelMissing, noModel, "Some requested entity was not found"},
		{404, `{"detail":"Not Found"}`, Reject, rejected, ""}, // a wrong base URL has no models
		{404, "404 page not found", Reject, rejected, ""},

		{400, openaiSaid("invalid_request_error", `"context_length_exceeded"`, "This model's maximum context length is 8192 tokens."), Reject, rejected, "context_length_exceeded"},
		{500, openaiSaid("exceed_context_size_error", `400`, "the request exceeds the available context size"), Reject, rejected, "exceed_context_size_error"},
		{400, openaiSaid("", `"content_filter"`, "The response was filtered"), Reject, rejected, "content_filter"},
		{400, openaiSaid("invalid_request_error", `"unsupported_parameter"`, "Unsupported parameter: 'temperature' is not supported with this model."), Reject, rejected, "unsupported_parameter"},
		{422, `{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required"}]}`, Reject, rejected, ""},
		{429, openaiSaid("tokens", `"rate_limit_exceeded"`, "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 50000."), Reject, rejected, "rate_limit_exceeded"},

		{429, openaiSaid("requests", `"rate_limit_exceeded"`, "Rate limit reached for gpt-4o"), Hold, provErr, "rate_limit_exceeded"},
		{500, `{"error":{"message":"Provider returned error","code":429}}`, Hold, provErr, ""},
		{503, openaiSaid("server_error", `null`, "The engine is currently overloaded, please try again later"), Hold, provErr, "server_error"},
		{503, `{"error":{"message":"Loading model","type":"unavailable_error","code":503}}`, Hold, provErr, "unavailable_error"},
		{500, openaiSaid("server_error", `null`, "The server had an error while processing your request"), Retry, provErr, "server_error"},
		{502, "<html>Bad gateway</html>", Retry, provErr, ""},
		{504, openaiSaid("timeout", `null`, "Timed out"), Retry, provErr, "timeout"},
	} {
		t.Run(fmt.Sprint(row.status, " ", row.body), func(t *testing.T) {
			got := failure(t.Context(), t, ofOpenAI(t, whole(row.status, row.body)), Request{})
			if got.Verdict != row.verdict || got.Code != row.code || got.Type != row.kind || got.StatusCode != row.status {
				t.Errorf("got %s, %s, %d, %q; want %s, %s, %d, %q", got.Verdict, got.Code, got.StatusCode, got.Type, row.verdict, row.code, row.status, row.kind)
			}
		})
	}
}

func TestAnErrorWithinAStreamOfChunks(t *testing.T) {
	for said, want := range map[string]struct{ before, behind Verdict }{
		event(openaiSaid("server_error", `null`, "Sorry.")):                                                          {Retry, Retry},
		event(openaiSaid("", `"rate_limit_exceeded"`, "Sorry.")):                                                     {Hold, Retry},
		event(openaiSaid("insufficient_quota", `null`, "Sorry.")):                                                    {HoldKey, Retry},
		event(openaiSaid("", `"context_length_exceeded"`, "Sorry.")):                                                 {Reject, Reject},
		event(`{"error":{"code":502,"message":"Sorry."},"choices":[{"index":0,"finish_reason":"error"}]}`):           {Retry, Retry},
		event(`{"object":"error","message":"Sorry.","type":"BadRequestError","param":null,"code":400}`) + "[DONE]":   {Reject, Reject},
		"event: error\n" + event(`{"message":"Sorry.","code":429}`):                                                  {Hold, Retry},
		"event: error\n" + event(`Sorry.`):                                                                           {Retry, Retry},
		event(`{"error":"Sorry."}`):                                                                                  {Retry, Retry},
		"event: gateway\n" + event("not ours") + event(openaiSaid("", `"overloaded"`, "Sorry.")):                     {Hold, Retry},
		event(`{"error":null,"choices":[]}`) + event(openaiSaid("invalid_request_error", `"model_not_found"`, "No")): {ModelMissing, Retry},
	} {
		for text, pieces := range map[string]struct {
			sent string
			want Verdict
		}{
			"":          {chunkBegin, want.before},
			"Some text": {chunkBegin + chunkSome, want.behind},
		} {
			got := failure(t.Context(), t, ofOpenAI(t, stream(pieces.sent, said)), Request{})
			if got.Verdict != pieces.want || got.PartialText != text {
				t.Errorf("%q after %q: got %s (%v) with %q, want %s", said, text, got.Verdict, got, got.PartialText, pieces.want)
			}
		}
	}
}

// With n choices, an end without [DONE] counts once all n are over.
func TestAllChoicesAreWaitedFor(t *testing.T) {
	one := ofOpenAI(t, stream(chunkBegin, chunkSome, chunkStop))
	if answer := generate(t, one, Request{Body: []byte(`{"model":"m","n":1}`)}); answer.Text != "Some text" {
		t.Errorf("one choice: got %q, want the answer", answer.Text)
	}
	got := failure(t.Context(), t, one, Request{Body: []byte(`{"model":"m","n":2}`)})
	if got.Code != ringback.CodeStreamBroken || got.PartialText != "Some text" {
		t.Errorf("one choice of two: got %s with %q, want %s", got.Code, got.PartialText, ringback.CodeStreamBroken)
	}
}

// How servers interpret the protocol, each as one stream.
func TestLooseStreams(t *testing.T) {
	for name, row := range map[string]struct{ stream, want string }{
		"a message in the place of a delta": {
			chunkBegin + event(`{"choices":[{"index":0,"message":{"role":"assistant","content":"Whole."},"finish_reason":"stop"}]}`) + event("[DONE]"),
			`{"id":"c1","object":"chat.completion","created":1,"model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":"Whole."},"finish_reason":"stop"}]}`,
		},
		"messages, each the whole so far": {
			event(`{"choices":[{"index":0,"message":{"role":"assistant","content":"Wh"}}]}`) + event(`{"choices":[{"index":0,"message":{"role":"assistant","content":"Whole."},"finish_reason":"stop"}]}`) + event("[DONE]"),
			`{"choices":[{"index":0,"message":{"role":"assistant","content":"Whole."},"finish_reason":"stop"}],"object":"chat.completion"}`,
		},
		"the whole so far beside each delta": {
			event(`{"choices":[{"index":0,"message":{"role":"assistant","content":"Wh"},"delta":{"role":"assistant","content":"Wh"}}]}`) + event(`{"choices":[{"index":0,"message":{"role":"assistant","content":"Whole."},"delta":{"role":"assistant","content":"ole."},"finish_reason":"stop"}]}`) + event("[DONE]"),
			`{"choices":[{"index":0,"message":{"role":"assistant","content":"Whole."},"finish_reason":"stop"}],"object":"chat.completion"}`,
		},
		"a message behind its pieces, tidied, with more": {
			event(`{"choices":[{"index":0,"delta":{"role":"assistant","content":" Whole."}}]}`) + event(`{"choices":[{"index":0,"message":{"role":"assistant","content":"Whole.","annotations":[1]},"finish_reason":"stop"}]}`) + event("[DONE]"),
			`{"choices":[{"index":0,"message":{"role":"assistant","content":" Whole.","annotations":[1]},"finish_reason":"stop"}],"object":"chat.completion"}`,
		},
		"no index, no role, no object, no content": {
			event(`{"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g","arguments":"{}"}}]}}]}`) + event(`{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}`) + event("[DONE]"),
			`{"choices":[{"message":{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g","arguments":"{}"}}],"content":null},"finish_reason":"tool_calls"}],"object":"chat.completion"}`,
		},
		"an empty chunk before all others, an empty finish_reason, an id in each piece": {
			event(`{"id":"","object":"","created":0,"model":"","choices":[],"prompt_filter_results":[{"prompt_index":0}]}`) +
				event(`{"id":"c","object":"chat.completion.chunk","created":5,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{"}}]},"finish_reason":""}]}`) +
				event(`{"id":"c","object":"chat.completion.chunk","created":5,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"}"}}]},"finish_reason":""}]}`) +
				event(`{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}`) + event(" [DONE]"),
			`{"id":"c","object":"chat.completion","created":5,"model":"m","choices":[{"index":0,"message":{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}],"content":null},"finish_reason":"tool_calls"}],"prompt_filter_results":[{"prompt_index":0}]}`,
		},
		"null for no choices": {
			chunkBegin + chunkSome + chunkStop + event(`{"choices":null,"usage":{"prompt_tokens":1}}`) + event("[DONE]"),
			`{"id":"c1","object":"chat.completion","created":1,"model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":"Some text"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}`,
		},
		"the old form of a call, and sound": {
			event(`{"choices":[{"index":0,"delta":{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{\"a\""},"audio":{"id":"x","data":"QUJD"}}}]}`) +
				event(`{"choices":[{"index":0,"delta":{"function_call":{"arguments":":1}"},"audio":{"data":"REVG","expires_at":17}},"finish_reason":"function_call"}]}`) + event("[DONE]"),
			`{"choices":[{"index":0,"message":{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{\"a\":1}"},"audio":{"id":"x","data":"QUJDREVG","expires_at":17}},"finish_reason":"function_call"}],"object":"chat.completion"}`,
		},
	} {
		answer, failure := receive(t, clientOf(t, Config{Protocol: "openai", BaseURL: "http://127.0.0.1:1"}), strings.NewReader(row.stream))
		if failure != nil {
			t.Errorf("%s: %v", name, failure)
		} else if got := string(answer.Message); got != row.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, row.want)
		}
	}
}

// A server that refuses stream_options is called without them from then on; a caller who
// set them gets the server's error.
func TestAServerMayRefuseStreamOptions(t *testing.T) {
	for form, said := range map[string]string{
		"vLLM":    `{"object":"error","message":"[{'type': 'extra_forbidden', 'loc': ('body', 'stream_options'), 'msg': 'Extra inputs are not permitted'}]","type":"BadRequestError","code":400}`,
		"FastAPI": `{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]}`,
		"Azure":   `{"error":{"message":"Unrecognized request argument supplied: stream_options","type":"invalid_request_error","param":null,"code":null}}`,
	} {
		t.Run(form, func(t *testing.T) {
			var mu sync.Mutex
			var bodies []string
			client := ofOpenAI(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				mu.Lock()
				bodies = append(bodies, string(body))
				mu.Unlock()
				if strings.Contains(string(body), "stream_options") {
					whole(400, said)(w, r)
					return
				}
				stream(chunkBegin, chunkSome, chunkFinish)(w, r)
			})
			own := Request{Body: []byte(`{"model":"m","stream_options":{}}`)}
			if got := failure(t.Context(), t, client, own); got.Verdict != Reject {
				t.Errorf("the caller's own: got %s, want %s", got.Verdict, Reject)
			}
			if got := failure(t.Context(), t, client, Request{}); got.Verdict != Retry || got.Code != ringback.CodeProviderError || got.StatusCode != 400 {
				t.Errorf("ours: got %s, %s, %d, want %s", got.Verdict, got.Code, got.StatusCode, Retry)
			}
			answer := generate(t, client, Request{})
			if answer.Text != "Some text" || string(answer.Usage) != `{"input_tokens":0,"output_tokens":0}` {
				t.Errorf("without: got %q with the usage %s, want the answer and zeros", answer.Text, answer.Usage)
			}
			if n := len(bodies); n != 3 || strings.Contains(bodies[2], "stream_options") {
				t.Errorf("got the calls %q, want the last of three without stream_options", bodies)
			}
		})
	}
}

func TestTheRateLimitsOfChatCompletions(t *testing.T) {
	for name, row := range map[string]struct {
		header http.Header
		want   time.Duration
	}{
		"the limit that is used up": {http.Header{
			"X-Ratelimit-Remaining-Requests": {"0"}, "X-Ratelimit-Reset-Requests": {"6m0s"},
			"X-Ratelimit-Remaining-Tokens": {"100"}, "X-Ratelimit-Reset-Tokens": {"20ms"},
		}, 6 * time.Minute},
		"the first of both":         {http.Header{"X-Ratelimit-Reset-Requests": {"1s"}, "X-Ratelimit-Reset-Tokens": {"2m59.56s"}}, time.Second},
		"seconds without unit":      {http.Header{"X-Ratelimit-Reset-Tokens": {"12"}}, 12 * time.Second},
		"far away":                  {http.Header{"X-Ratelimit-Reset-Tokens": {"48h"}}, time.Hour},
		"no time":                   {http.Header{"X-Ratelimit-Reset-Tokens": {"soon"}}, 0},
		"retry-after-ms goes first": {http.Header{"Retry-After-Ms": {"1250"}, "Retry-After": {"2"}, "X-Ratelimit-Reset-Tokens": {"9s"}}, 1250 * time.Millisecond},
		"retry-after-ms of nothing": {http.Header{"Retry-After-Ms": {"-1"}, "Retry-After": {"2"}}, 2 * time.Second},
	} {
		got := failure(t.Context(), t, ofOpenAI(t, func(w http.ResponseWriter, _ *http.Request) {
			maps.Copy(w.Header(), row.header)
			w.Header().Set("x-request-id", "req_9")
			w.WriteHeader(http.StatusTooManyRequests)
		}), Request{})
		if got.Verdict != Hold || got.RetryAfter != row.want || got.RequestID != "req_9" {
			t.Errorf("%s: got %s for %s, %q, want %s for %s", name, got.Verdict, got.RetryAfter, got.RequestID, Hold, row.want)
		}
	}
}

func TestMemoryForChunksIsAskedForBeforeItIsTaken(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"streamed":     stream(chunkBegin, strings.Repeat(chunkSome, 20_000), chunkFinish),
		"in one event": stream(chunkBegin, strings.Replace(chunkSome, "Some text", strings.Repeat("x", 180_000), 1), chunkFinish),
		"as JSON":      whole(200, `{"choices":[{"message":{"content":"`+strings.Repeat("x", 180_000)+`"}}]}`),
	} {
		granted := 0
		answer := generate(t, ofOpenAI(t, handler), Request{Grow: func(_ context.Context, n int) error { granted += n; return nil }})
		if held := len(answer.Message) + len(answer.Text); len(answer.Text) != 180_000 || granted < held || granted > 6*held {
			t.Errorf("%s: granted %d bytes for an answer that holds %d", name, granted, held)
		}
	}
}
