package api

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/strictjson"
)

func TestARequestIsReadWhole(t *testing.T) {
	t.Parallel()
	got, err := strictjson.Decode([]byte(`{
		"prompt": "Hi \u00e9", "messages": [ {"role":"user","content":12345678901234567890} ], "callback_url": "https://example.com/hook",
		"model": "claude-sonnet-5-5", "max_tokens": 100, "system": "Be brief.", "params": {"temperature": 0.10, "tools": [ ]},
		"provider": "anthropic", "events": ["job.completed"], "webhook_body": "thin", "metadata": {"b": 1, "a": [1e400]},
		"callback_headers": {"X-Team": "blue"}, "provider_headers": {"openai-beta": "b"}, "timeout_seconds": 10, "max_attempts": 2, "max_wait_seconds": 60,
		"result_ttl_seconds": 120, "expires_at": "2026-01-31T18:00:00+01:00", "retry_uncertain": "never", "stream": true, "stream_to": "wss://example.com/", "on_disconnect": "cancel"}`), readGenerate)
	if err != nil {
		t.Fatal(err)
	}
	events := []ringback.EventType{"job.completed"}
	want := &ringback.Request{
		Prompt: "Hi é", Messages: json.RawMessage(`[ {"role":"user","content":12345678901234567890} ]`),
		CallbackURL: "https://example.com/hook", Model: "claude-sonnet-5-5", MaxTokens: new(100), System: json.RawMessage(`"Be brief."`),
		Params:   map[string]json.RawMessage{"temperature": json.RawMessage("0.10"), "tools": json.RawMessage("[ ]")},
		Provider: "anthropic", Events: &events, WebhookBody: "thin", Metadata: json.RawMessage(`{"b": 1, "a": [1e400]}`),
		CallbackHeaders: map[string]string{"X-Team": "blue"}, ProviderHeaders: map[string]string{"openai-beta": "b"}, TimeoutSeconds: new(10), MaxAttempts: new(2),
		MaxWaitSeconds: new(60), ResultTTLSeconds: new(120),
		ExpiresAt:      &ringback.Time{Time: time.Date(2026, 1, 31, 17, 0, 0, 0, time.UTC)},
		RetryUncertain: "never",
		Stream:         true, StreamTo: "wss://example.com/", OnDisconnect: "cancel",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error("request (-want +got):\n" + d)
	}
}

func TestEveryFieldIsReadAndMayBeNull(t *testing.T) {
	t.Parallel()
	for _, name := range strictjson.FieldNames(reflect.TypeFor[ringback.Request]()) {
		got, err := strictjson.Decode([]byte(`{"`+name+`":null}`), readGenerate)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff(&ringback.Request{}, got); d != "" {
			t.Errorf("null as %s is not its absence: %s", name, d)
		}
		if _, err := strictjson.Decode([]byte(`{"`+name+`":false}`), readGenerate); err == nil && name != "stream" {
			t.Errorf("%s takes a boolean", name)
		}
	}
}

func TestWhatDoesNotFitIsRefusedByName(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]struct{ field, message string }{
		`{"prompt":1}`:                        {"prompt", "prompt must be a string, not a number"},
		`{"prompt":["a"]}`:                    {"prompt", "prompt must be a string, not an array"},
		`{"messages":"Hi"}`:                   {"messages", "messages must be an array, not a string"},
		`{"system":5}`:                        {"system", "system must be a string or an array, not a number"},
		`{"metadata":[1]}`:                    {"metadata", "metadata must be an object, not an array"},
		`{"params":true}`:                     {"params", "params must be an object, not a boolean"},
		`{"max_tokens":"9"}`:                  {"max_tokens", "max_tokens must be a whole number, not a string"},
		`{"max_tokens":1.5}`:                  {"max_tokens", "max_tokens must be a whole number, without a fraction"},
		`{"max_tokens":1e99999999999}`:        {"max_tokens", "max_tokens is out of range"},
		`{"max_tokens":99999999999999999999}`: {"max_tokens", "max_tokens is out of range"},
		`{"events":"job.completed"}`:          {"events", "events must be an array, not a string"},
		`{"events":["a",{}]}`:                 {"events[1]", "events[1] must be a string, not an object"},
		`{"callback_headers":{"X-A":["b"]}}`:  {"callback_headers.X-A", "callback_headers.X-A must be a string, not an array"},
		`{"callback_headers":{"X-A":null}}`:   {"callback_headers.X-A", "callback_headers.X-A must be a string, not null"},
		`{"expires_at":"tomorrow"}`:           {"expires_at", "expires_at must be a time as RFC 3339 has it, such as 2026-01-31T18:00:00Z"},
		`{"expires_at":1700000000}`:           {"expires_at", "expires_at must be a string, not a number"},
		`{"priority":"1"}`:                    {"priority", "priority must be a whole number, not a string"},
		`{"run_at":"tomorrow"}`:               {"run_at", "run_at must be a time as RFC 3339 has it, such as 2026-01-31T18:00:00Z"},
		`{"fallback_models":"claude"}`:        {"fallback_models", "fallback_models must be an array, not a string"},
		`{"stream":"true"}`:                   {"stream", "stream must be true or false, not a string"},
		`{"prompt":"a","prompt":"b"}`:         {"prompt", "prompt is given twice in one object; give it once"},
		`{"params":{"a":[{"b":1,"b":2}]}}`:    {"params.a[0].b", "params.a[0].b is given twice in one object; give it once"},
		`"prompt"`:                            {"", "the body is not valid JSON at line 1, byte 1: a JSON object is wanted, beginning with {"},
	} {
		_, err := strictjson.Decode([]byte(body), readGenerate)
		checkFormError(t, body, err, want.field, want.message)
	}
}

func TestAnUnknownFieldIsToldTheKnownOnes(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"Prompt":"Hi"}`, `{"Prompt":null}`} { // encoding/json would accept it
		_, err := strictjson.Decode([]byte(body), readGenerate)
		checkFormError(t, body, err, "Prompt", "Prompt is not a field here; the fields are callback_headers, callback_url, events, "+
			"expires_at, fallback_models, max_attempts, max_tokens, max_wait_seconds, messages, metadata, model, on_disconnect, params, priority, prompt, provider, provider_headers, "+
			"result_ttl_seconds, retry_uncertain, run_at, stream, stream_to, system, timeout_seconds, webhook_body")
	}
	_, err := strictjson.Decode([]byte(`{"reason":"why"}`), readNothing)
	checkFormError(t, "cancel", err, "reason", "reason is not a field here; send no body, or {}")
	_, err = strictjson.Decode([]byte(`{"":1}`), readNothing)
	checkFormError(t, "cancel", err, `""`, `"" is not a field here; send no body, or {}`)
}

func checkFormError(t *testing.T, body string, err error, field, message string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s was taken", body)
		return
	}
	got := errorOf(t, err)
	want := ringback.Error{Code: ringback.InvalidRequest, Field: field, Message: message}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", body, d)
	}
}

// errorOf returns the error that the client gets for err.
func errorOf(t *testing.T, err error) ringback.Error {
	t.Helper()
	known, form := outsideError(err)
	switch {
	case known != nil:
		return *known
	case form != nil:
		return *invalidBody(form)
	default:
		t.Errorf("%v is not written for users", err)
		return ringback.Error{}
	}
}

func TestWhatAJobKeepsDoesNotHoldTheBody(t *testing.T) {
	t.Parallel()
	body := []byte(`{"prompt":"Hi","metadata":{"a":"b"},"model":"m","callback_headers":{"c":"d"}}`)
	got, err := strictjson.Decode(body, readGenerate)
	if err != nil {
		t.Fatal(err)
	}
	want, err := strictjson.Decode(slices.Clone(body), readGenerate)
	if err != nil {
		t.Fatal(err)
	}
	for i := range body {
		body[i] = '#'
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error("the body was reused, and the request changed (-want +got):\n" + d)
	}
}

func FuzzDecodeGenerate(f *testing.F) {
	for _, seed := range []string{
		`{"prompt":"Hi","callback_url":"https://example.com/hook"}`,
		`{"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}],"events":[],"params":{"temperature":1}}`,
		`{"max_tokens":-1,"expires_at":"2026-01-31T18:00:00Z","metadata":{},"callback_headers":{"a":"b"}}`,
		`{"stream":true}`, `{"system":[{"type":"text","text":"Be brief."}],"retry_uncertain":"never","webhook_body":"thin"}`, ``, `null`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := strictjson.Decode(body, readGenerate)
		if err != nil {
			e := errorOf(t, err)
			if e.Code != ringback.InvalidRequest || e.Message == "" || !utf8.ValidString(e.Field) {
				t.Fatalf("%q: bad error %+v", body, e)
			}
			return
		}
		// What was decoded survives the client's own encoding.
		again, err := json.Marshal(req)
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if _, err := strictjson.Decode(again, readGenerate); err != nil {
			t.Fatalf("%q was taken, but not as %q: %v", body, again, err)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	for name, prompt := range map[string]string{
		"1 KiB":          strings.Repeat("The quick brown fox jumps over the lazy dog. ", 1<<10/45),
		"96 KiB":         strings.Repeat("The quick brown fox jumps over the lazy dog. ", 96<<10/45),
		"1 MiB":          strings.Repeat("The quick brown fox jumps over the lazy dog. ", 1<<20/45),
		"1 MiB of lines": strings.Repeat("if err != nil {\n\treturn \"\"\n}\n", 1<<20/30),
	} {
		body, err := json.Marshal(map[string]any{
			"prompt": prompt, "model": "claude-sonnet-5-5", "callback_url": "https://example.com/hook",
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Run("ours/"+name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := strictjson.Decode(body, readGenerate); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("encoding-json/"+name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				var req struct{ Prompt, Model, CallbackURL string }
				d := json.NewDecoder(bytes.NewReader(body))
				if err := d.Decode(&req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
