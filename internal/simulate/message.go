package simulate

import (
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
)

// messages is the Anthropic protocol.
func messages() dialect {
	return dialect{
		path:       "/v1/messages",
		requestID:  "request-id",
		key:        func(h http.Header) string { return h.Get("x-api-key") },
		check:      checkMessages,
		events:     func(a answer, _ request) iter.Seq[event] { return a.events() },
		whole:      func(a answer) any { return a.message() },
		failure:    messageError,
		errorEvent: "error",
		overloaded: 529,
		broken:     `data: {"type":"content_block_delta","index":0,`,
	}
}

// checkMessages refuses what the real provider would.
func checkMessages(h http.Header, m request) error {
	if h.Get("anthropic-version") == "" {
		return fmt.Errorf("anthropic-version: header is required")
	}
	if m.MaxTokens == nil || *m.MaxTokens < 1 {
		return fmt.Errorf("max_tokens: must be at least 1")
	}
	return m.roles("user", "assistant")
}

// message is the provider's answer as a whole. The order of the fields is the real one.
type message struct {
	ID           string  `json:"id"`
	Type         string  `json:"type"`
	Role         string  `json:"role"`
	Model        string  `json:"model"`
	Content      []any   `json:"content"`
	StopReason   *string `json:"stop_reason"`
	StopSequence *string `json:"stop_sequence"`
	Usage        usage   `json:"usage"`
}

type usage struct {
	InputTokens              int    `json:"input_tokens"`
	CacheCreationInputTokens int    `json:"cache_creation_input_tokens"`
	CacheReadInputTokens     int    `json:"cache_read_input_tokens"`
	OutputTokens             int    `json:"output_tokens"`
	ServiceTier              string `json:"service_tier"`
}

type textBlock struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type thinkingBlock struct {
	Type      string `json:"type"`
	Thinking  string `json:"thinking"`
	Signature string `json:"signature"`
}

type toolBlock struct {
	Type  string          `json:"type"`
	ID    string          `json:"id"`
	Name  string          `json:"name"`
	Input json.RawMessage `json:"input"`
}

// delta returns a delta of a type with its one field.
func delta(kind, field, value string) json.RawMessage {
	return json.RawMessage(`{"type":"` + kind + `","` + field + `":` + string(encode(value)) + `}`)
}

// start returns the beginning of a block in a stream.
func (b *block) start() any {
	switch b.kind {
	case thoughtKind:
		return thinkingBlock{Type: "thinking"}
	case toolKind:
		return toolBlock{Type: "tool_use", ID: "toolu_sim_" + b.id, Name: b.name, Input: json.RawMessage("{}")}
	}
	return textBlock{Type: "text"}
}

// end returns a block in the answer to a call without streaming.
func (b *block) end() any {
	switch b.kind {
	case thoughtKind:
		return thinkingBlock{Type: "thinking", Thinking: b.whole, Signature: b.signature()}
	case toolKind:
		return toolBlock{Type: "tool_use", ID: "toolu_sim_" + b.id, Name: b.name, Input: json.RawMessage(b.whole)}
	}
	return textBlock{Type: "text", Text: b.whole}
}

func (b *block) signature() string { return "c2ltdWxhdGVk" + fingerprint(b.whole) }

// deltas yields the pieces of a block as the protocol sends them, each with the text that a
// user would see.
func (b *block) deltas() iter.Seq2[json.RawMessage, string] {
	return func(yield func(json.RawMessage, string) bool) {
		if b.kind == toolKind && !yield(delta("input_json_delta", "partial_json", ""), "") {
			return
		}
		for piece := range b.pieces {
			var goOn bool
			switch b.kind {
			case thoughtKind:
				goOn = yield(delta("thinking_delta", "thinking", piece), "")
			case toolKind:
				goOn = yield(delta("input_json_delta", "partial_json", piece), "")
			default:
				goOn = yield(delta("text_delta", "text", piece), piece)
			}
			if !goOn {
				return
			}
		}
		if b.kind == thoughtKind {
			yield(delta("signature_delta", "signature", b.signature()), "")
		}
	}
}

// message returns the answer to a call without streaming.
func (a *answer) message() message {
	m := a.opening()
	for _, b := range a.blocks {
		m.Content = append(m.Content, b.end())
	}
	reason := a.stopReason()
	m.StopReason = &reason
	m.Usage.OutputTokens = a.output
	return m
}

func (a *answer) stopReason() string {
	if a.usesTool() {
		return "tool_use"
	}
	return "end_turn"
}

// opening returns the message at the beginning of a stream, without content.
func (a *answer) opening() message {
	return message{
		ID: "msg_sim_" + a.id, Type: "message", Role: "assistant", Model: a.model, Content: []any{},
		Usage: usage{InputTokens: a.input, OutputTokens: 1, ServiceTier: "standard"},
	}
}

// eventData is the data of all events but errors.
type eventData struct {
	Type         string      `json:"type"`
	Message      *message    `json:"message,omitempty"`
	Index        *int        `json:"index,omitempty"`
	ContentBlock any         `json:"content_block,omitempty"`
	Delta        any         `json:"delta,omitempty"`
	Usage        *deltaUsage `json:"usage,omitempty"`
}

type deltaUsage struct {
	OutputTokens int `json:"output_tokens"`
}

type stopDelta struct {
	StopReason   string  `json:"stop_reason"`
	StopSequence *string `json:"stop_sequence"`
}

// events returns the answer as a stream.
func (a *answer) events() iter.Seq[event] {
	return func(yield func(event) bool) {
		send := func(d eventData, text string) bool {
			return yield(event{name: d.Type, data: encode(d), text: text})
		}
		opening := a.opening()
		if !send(eventData{Type: "message_start", Message: &opening}, "") {
			return
		}
		for i, b := range a.blocks {
			if !b.events(i, send) {
				return
			}
		}
		_ = send(eventData{
			Type:  "message_delta",
			Delta: stopDelta{StopReason: a.stopReason()},
			Usage: &deltaUsage{a.output},
		}, "") && send(eventData{Type: "message_stop"}, "")
	}
}

// events sends the block's part of the stream; false means stop. A ping follows the start
// of the first block, as with the real provider.
func (b *block) events(index int, send func(eventData, string) bool) bool {
	if !send(eventData{Type: "content_block_start", Index: &index, ContentBlock: b.start()}, "") {
		return false
	}
	if index == 0 && !send(eventData{Type: "ping"}, "") {
		return false
	}
	for d, text := range b.deltas() {
		if !send(eventData{Type: "content_block_delta", Index: &index, Delta: d}, text) {
			return false
		}
	}
	return send(eventData{Type: "content_block_stop", Index: &index}, "")
}

// messageError returns an error in the protocol's form.
func messageError(status int, message, requestID string) any {
	type detail struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	return struct {
		Type      string `json:"type"`
		Error     detail `json:"error"`
		RequestID string `json:"request_id,omitempty"`
	}{"error", detail{errorType(status), message}, requestID}
}

var errorTypes = map[int]string{
	401: "authentication_error", 402: "billing_error", 403: "permission_error", 404: "not_found_error",
	409: "conflict_error", 413: "request_too_large", 429: "rate_limit_error", 504: "timeout_error", 529: "overloaded_error",
}

func errorType(status int) string {
	if t, ok := errorTypes[status]; ok {
		return t
	}
	if status >= 500 {
		return "api_error"
	}
	return "invalid_request_error"
}
