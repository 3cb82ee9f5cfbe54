package simulate

import (
	"fmt"
	"iter"
	"net/http"
	"strings"
)

// chat returns OpenAI's protocol of chat completions.
func chat() dialect {
	return dialect{
		path:      "/v1/chat/completions",
		requestID: "x-request-id",
		key: func(h http.Header) string {
			key, _ := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
			return key
		},
		check:      checkChat,
		events:     chatEvents,
		whole:      func(a answer) any { return newCompletion(a) },
		failure:    func(status int, message, _ string) any { return chatError(status, message) },
		overloaded: http.StatusServiceUnavailable,
		broken:     `data: {"id":"chatcmpl-sim","object":"chat.completion.chunk","choices":[{"index":0,`,
	}
}

// checkChat refuses what the real provider would.
func checkChat(_ http.Header, m request) error {
	if m.MaxTokens != nil && *m.MaxTokens < 1 {
		return fmt.Errorf("max_tokens: must be at least 1")
	}
	if m.StreamOptions != nil && !m.Stream {
		return fmt.Errorf("the 'stream_options' parameter is only allowed when 'stream' is enabled")
	}
	return m.roles("developer", "system", "user", "assistant", "tool")
}

// completion is the answer as a whole, and each chunk of a stream. The order of the fields
// is the real one.
type completion struct {
	ID          string      `json:"id"`
	Object      string      `json:"object"`
	Created     int         `json:"created"`
	Model       string      `json:"model"`
	ServiceTier string      `json:"service_tier"`
	Fingerprint string      `json:"system_fingerprint"`
	Choices     []choice    `json:"choices"`
	Usage       *tokenCount `json:"usage"`
}

type choice struct {
	Index        int          `json:"index"`
	Message      *chatMessage `json:"message,omitempty"`
	Delta        any          `json:"delta,omitempty"`
	Logprobs     *struct{}    `json:"logprobs"`
	FinishReason *string      `json:"finish_reason"`
}

type chatMessage struct {
	Role      string     `json:"role"`
	Content   string     `json:"content"`
	Refusal   *string    `json:"refusal"`
	Reasoning string     `json:"reasoning_content,omitempty"`
	ToolCalls []toolCall `json:"tool_calls,omitempty"`
}

type toolCall struct {
	Index    *int   `json:"index,omitempty"` // in a stream
	ID       string `json:"id,omitempty"`
	Type     string `json:"type,omitempty"`
	Function called `json:"function"`
}

type called struct {
	Name      string `json:"name,omitempty"`
	Arguments string `json:"arguments"`
}

type tokenCount struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
}

// newChunk returns an answer without content.
func newChunk(a answer, object string) completion {
	return completion{
		ID: "chatcmpl-sim" + a.id, Object: object, Created: 1_764_000_000, Model: a.model,
		ServiceTier: "default", Fingerprint: "fp_sim", Choices: []choice{},
	}
}

func (a *answer) tokenCount() *tokenCount {
	return &tokenCount{Prompt: a.input, Completion: a.output, Total: a.input + a.output}
}

func (a *answer) finishReason() *string {
	reason := "stop"
	if a.usesTool() {
		reason = "tool_calls"
	}
	return &reason
}

// newCompletion returns the answer of a call without streaming.
func newCompletion(a answer) completion {
	c := newChunk(a, "chat.completion")
	m := &chatMessage{Role: "assistant", Content: a.all(textKind), Reasoning: a.all(thoughtKind)}
	for _, b := range a.blocks {
		if b.kind == toolKind {
			m.ToolCalls = append(m.ToolCalls, toolCall{ID: "call_sim_" + b.id, Type: "function", Function: called{b.name, b.whole}})
		}
	}
	c.Choices = []choice{{Message: m, FinishReason: a.finishReason()}}
	c.Usage = a.tokenCount()
	return c
}

// chatEvents returns the answer as a stream.
func chatEvents(a answer, m request) iter.Seq[event] {
	return func(yield func(event) bool) {
		chunk := newChunk(a, "chat.completion.chunk")
		send := func(text string, choices ...choice) bool {
			chunk.Choices = choices
			return yield(event{data: encode(chunk), text: text})
		}
		say := func(delta any, text string) bool { return send(text, choice{Delta: delta}) }
		if !say(chatMessage{Role: "assistant"}, "") {
			return
		}
		for _, b := range a.blocks {
			if !b.chunks(say) {
				return
			}
		}
		if !send("", choice{Delta: struct{}{}, FinishReason: a.finishReason()}) {
			return
		}
		if m.StreamOptions != nil && m.StreamOptions.IncludeUsage {
			chunk.Usage = a.tokenCount()
			if !send("", []choice{}...) {
				return
			}
		}
		yield(event{data: []byte("[DONE]")})
	}
}

// chunks sends the block's part of the stream; false means stop.
func (b *block) chunks(say func(delta any, text string) bool) bool {
	type text struct {
		Content   string `json:"content,omitempty"`
		Reasoning string `json:"reasoning_content,omitempty"`
	}
	type calls struct {
		ToolCalls []toolCall `json:"tool_calls"`
	}
	first := 0 // there is only one call
	if b.kind == toolKind && !say(calls{[]toolCall{{Index: &first, ID: "call_sim_" + b.id, Type: "function", Function: called{Name: b.name}}}}, "") {
		return false
	}
	for piece := range b.pieces {
		var goOn bool
		switch b.kind {
		case thoughtKind:
			goOn = say(text{Reasoning: piece}, "")
		case toolKind:
			goOn = say(calls{[]toolCall{{Index: &first, Function: called{Arguments: piece}}}}, "")
		default:
			goOn = say(text{Content: piece}, piece)
		}
		if !goOn {
			return false
		}
	}
	return true
}

// chatError returns an error in the protocol's form.
func chatError(status int, message string) any {
	type detail struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	kind, code := "invalid_request_error", ""
	switch {
	case status == http.StatusUnauthorized:
		code = "invalid_api_key"
	case status == http.StatusPaymentRequired:
		kind, code = "insufficient_quota", "insufficient_quota"
	case status == http.StatusNotFound:
		code = "model_not_found"
	case status == http.StatusTooManyRequests:
		kind, code = "requests", "rate_limit_exceeded"
	case status >= 500:
		kind = "server_error"
	}
	d := detail{Message: message, Type: kind}
	if code != "" {
		d.Code = &code
	}
	return struct {
		Error detail `json:"error"`
	}{d}
}
