package protocol

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/ringback/ringback"
)

func TestEncodeRequest(t *testing.T) {
	for name, test := range map[string]struct {
		prompt Prompt
		want   string
	}{
		"a prompt is one user message": {
			Prompt{Model: "m", Prompt: "Hello"},
			`{"model":"m","max_tokens":4096,"messages":[{"role":"user","content":"Hello"}]}`,
		},
		"text is not escaped more than it must be": {
			Prompt{Model: "m", Prompt: "<b> & \" \\ \n é 🌍 \xff", MaxTokens: 1},
			`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"<b> & \" \\ \n é 🌍 ` + "\uFFFD" + `"}]}`,
		},
		"messages and system pass verbatim": {
			Prompt{Model: "m", Messages: json.RawMessage(`[ {"role":"user","content":"\u0041", "n": 1.0} ]`), System: json.RawMessage(`[{"type":"text","text":"Be <brief>."}]`)},
			`{"model":"m","max_tokens":4096,"system":[{"type":"text","text":"Be <brief>."}],"messages":[ {"role":"user","content":"\u0041", "n": 1.0} ]}`,
		},
		"null is absence": {
			Prompt{Model: "m", Prompt: "Hi", Messages: json.RawMessage(" null "), System: json.RawMessage("null")},
			`{"model":"m","max_tokens":4096,"messages":[{"role":"user","content":"Hi"}]}`,
		},
		"numbers pass with all their digits, params in the order of their names": {
			Prompt{Model: "m", Prompt: "Hi", Params: map[string]json.RawMessage{
				"top_k": json.RawMessage("12345678901234567890"), "temperature": json.RawMessage("1.0"), "a.b|*": json.RawMessage(`{"x":1e400}`), "thinking": json.RawMessage("null"),
			}},
			`{"model":"m","max_tokens":4096,"messages":[{"role":"user","content":"Hi"}],"a.b|*":{"x":1e400},"temperature":1.0,"thinking":null,"top_k":12345678901234567890}`,
		},
	} {
		got, err := EncodeRequest("anthropic", test.prompt)
		if err != nil || string(got) != test.want {
			t.Errorf("%s: got %s and %v, want %s", name, got, err, test.want)
		}
		if !json.Valid(got) {
			t.Errorf("%s: not JSON: %s", name, got)
		}
	}
}

func TestEncodeRequestNamesTheFieldAtFault(t *testing.T) {
	params := func(name, value string) map[string]json.RawMessage {
		return map[string]json.RawMessage{name: json.RawMessage(value)}
	}
	for field, prompt := range map[string]Prompt{
		"model":             {Prompt: "Hi"},
		"prompt":            {Model: "m"},
		"messages":          {Model: "m", Messages: json.RawMessage(`{"role":"user"}`)},
		"system":            {Model: "m", Prompt: "Hi", System: json.RawMessage(`{"text":"x"}`)},
		"max_tokens":        {Model: "m", Prompt: "Hi", MaxTokens: -1},
		"params.model":      {Model: "m", Prompt: "Hi", Params: params("model", `"x"`)},
		"params.messages":   {Model: "m", Prompt: "Hi", Params: params("messages", `[]`)},
		"params.system":     {Model: "m", Prompt: "Hi", Params: params("system", `"x"`)},
		"params.stream":     {Model: "m", Prompt: "Hi", Params: params("stream", `true`)},
		"params.max_tokens": {Model: "m", Prompt: "Hi", Params: params("max_tokens", `1`)},
		"params.top_k":      {Model: "m", Prompt: "Hi", Params: params("top_k", `1,`)},
	} {
		_, err := EncodeRequest("anthropic", prompt)
		fault, ok := errors.AsType[*ringback.Error](err)
		if !ok || fault.Field != field || fault.Code != ringback.InvalidRequest {
			t.Errorf("got %#v, want one about %s", err, field)
		}
	}
	both := Prompt{Model: "m", Prompt: "Hi", Messages: json.RawMessage(`[]`)}
	if _, err := EncodeRequest("anthropic", both); err == nil {
		t.Error("both prompt and messages: got no error")
	}
	if _, err := EncodeRequest("smtp", Prompt{Model: "m", Prompt: "Hi"}); err == nil {
		t.Error("an unknown protocol: got no error")
	}
}

func TestText(t *testing.T) {
	for message, want := range map[string]string{
		`{"content":[{"type":"text","text":"a"},{"type":"thinking","thinking":"x","text":"y"},{"type":"text","text":"\u00e9\n"}]}`: "aé\n",
		`{"content":[{"type":"tool_use","input":{"text":"x"}}]}`:                                                                   "",
		`{"content":[]}`: "",
		`{}`:             "",
	} {
		if got, err := Text("anthropic", json.RawMessage(message)); err != nil || got != want {
			t.Errorf("%s: got %q and %v, want %q", message, got, err, want)
		}
	}
	if _, err := Text("anthropic", json.RawMessage("{")); err == nil {
		t.Error("a message that is not JSON: got no error")
	}
	if _, err := Text("smtp", json.RawMessage("{}")); err == nil {
		t.Error("an unknown protocol: got no error")
	}
}
