package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"github.com/ringback/ringback"
)

// newOpenAIWorld makes a world whose provider is openai, and speaks its protocol.
func newOpenAIWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, setup{})
	w.env = append(w.env, "OPENAI_API_KEY=key-of-openai")
	config := fmt.Sprintf("providers:\n  openai: {base_url: \"%s/v1\"}\nroutes:\n  - {model: \"sim/*\", provider: openai}\n", w.upstream)
	must(t, os.WriteFile(w.config, []byte(config), 0o600))
	return w
}

func TestAJobGoesThroughChatCompletionsToASignedWebhook(t *testing.T) {
	t.Parallel()
	w := newOpenAIWorld(t)
	w.start()
	tools := `[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}]`
	id := w.submit(ringback.Request{
		Model: "sim/tool", Prompt: "How is the weather in Paris?", System: json.RawMessage(`"Use the tools."`),
		Params: map[string]json.RawMessage{"tools": json.RawMessage(tools), "temperature": json.RawMessage("1.0")},
	})
	d := w.webhook(id)
	if !d.Verified() || d.Status != string(ringback.Completed) {
		t.Fatalf("got %s (%v, %v), want a signed webhook of a completed job: %s", d.Status, d.SimpleErr, d.StandardErr, d.Body)
	}
	call := w.calls.Calls()[0]
	if got := call.Header.Get("Authorization"); call.Path != "/v1/chat/completions" || got != "Bearer key-of-openai" {
		t.Errorf("the provider was called at %s with %q", call.Path, got)
	}
	want := `{"model":"sim/tool","max_tokens":4096,"messages":[{"role":"system","content":"Use the tools."},{"role":"user","content":"How is the weather in Paris?"}],"temperature":1.0,"tools":` +
		tools + `,"stream":true,"stream_options":{"include_usage":true}}`
	if string(call.Body) != want {
		t.Errorf("the provider was asked\n%s, want\n%s", call.Body, want)
	}
	body := gjson.ParseBytes(d.Body)
	for path, want := range map[string]string{
		"type": "job.completed", "provider": "openai", "model": "sim/tool", "result": "Let me look that up.",
		"response.object":                                            "chat.completion",
		"response.choices.0.finish_reason":                           "tool_calls",
		"response.choices.0.message.role":                            "assistant",
		"response.choices.0.message.content":                         "Let me look that up.",
		"response.choices.0.message.tool_calls.#":                    "1",
		"response.choices.0.message.tool_calls.0.index":              "",
		"response.choices.0.message.tool_calls.0.function.name":      "get_weather",
		"response.choices.0.message.tool_calls.0.function.arguments": `{"city": "Paris", "unit": "celsius"}`,
		"response.usage.prompt_tokens":                               "6",
		"usage.prompt_tokens":                                        "6",
		"usage.input_tokens":                                         "6",
		"usage.output_tokens":                                        "8",
	} {
		if got := body.Get(path).String(); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestAJobThatFailsThroughChatCompletionsIsRetried(t *testing.T) {
	t.Parallel()
	w := newOpenAIWorld(t)
	w.start()
	retried := w.submit(ringback.Request{Model: "sim/flaky-1", Prompt: "Once more"})
	held := w.submit(ringback.Request{Model: "sim/429", Prompt: "Not so fast"})
	broken := w.submit(ringback.Request{Model: "sim/error-after-3", Prompt: "Half", MaxAttempts: new(1)})
	for id, want := range map[string][]ringback.AttemptOutcome{
		retried: {ringback.AttemptFailed, ringback.AttemptAnswered},
		held:    {ringback.AttemptRefused, ringback.AttemptRefused, ringback.AttemptAnswered},
		broken:  {ringback.AttemptFailed},
	} {
		job := w.delivered(id)
		if diff := cmp.Diff(want, w.outcomes(id)); diff != "" {
			t.Errorf("the ledger of %s (-want +got):\n%s", job.RequestedModel, diff)
		}
	}
	job := w.ended(broken)
	if job.Status != ringback.Failed || job.PartialResult != "A long answer " || job.ErrorDetail.Code != ringback.CodeProviderError {
		t.Errorf("a job whose answer broke off: got %s, %q, %+v", job.Status, job.PartialResult, job.ErrorDetail)
	}
}
