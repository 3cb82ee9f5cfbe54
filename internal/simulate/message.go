package simulate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// message is the provider's answer as a whole. The order of the fields is that
// of the real one.
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

// block is one content block: as it starts in a stream, in pieces, and whole.
type block struct {
	start  any
	pieces iter.Seq[piece]
	whole  any
}

// piece is one delta of a block. text is what the caller of the API would show.
type piece struct {
	delta json.RawMessage
	text  string
}

// delta is a delta of a type with its one field.
func delta(kind, field, value string) json.RawMessage {
	return json.RawMessage(`{"type":"` + kind + `","` + field + `":` + string(encode(value)) + `}`)
}

// answer is what a model says to one prompt.
type answer struct {
	id, model  string
	blocks     []block
	stopReason string
	input      int // tokens
	output     int // tokens; a word counts as one
	words      int // of its text
}

// newAnswer makes the answer. The same model and prompt give the same one, so
// that a stream can be compared with what a call without stream returns.
func newAnswer(h habit, m messagesRequest) answer {
	a := answer{
		id:         "msg_sim_" + fingerprint(m.Model, m.prompt),
		model:      m.Model,
		stopReason: "end_turn",
		input:      max(1, len(strings.Fields(m.prompt))),
	}
	switch h.answer {
	case sayEcho:
		a.say(m.prompt, 32)
	case sayText:
		a.say(textFor(m.prompt, max(h.words, h.after)), 0)
	case sayThought:
		a.think(thought)
		a.say(m.prompt, 32)
	case sayTool:
		a.say("Let me look that up.", 0)
		a.useTool("get_weather", `{"city": "Pa`, `ris", "unit"`, `: "celsius"}`)
	}
	if h.trouble == neverEnd {
		a.blocks[0].pieces = textPieces(endless())
		a.words = 0
	}
	return a
}

func (a *answer) say(text string, most int) {
	a.blocks = append(a.blocks, block{
		start:  textBlock{Type: "text"},
		pieces: textPieces(pieces(text, most)),
		whole:  textBlock{Type: "text", Text: text},
	})
	n := len(strings.Fields(text))
	a.words += n
	a.output += n
}

func textPieces(texts iter.Seq[string]) iter.Seq[piece] {
	return func(yield func(piece) bool) {
		for t := range texts {
			if !yield(piece{delta: delta("text_delta", "text", t), text: t}) {
				return
			}
		}
	}
}

func (a *answer) think(text string) {
	signature := "c2ltdWxhdGVk" + fingerprint(text)
	a.blocks = append(a.blocks, block{
		start: thinkingBlock{Type: "thinking"},
		pieces: func(yield func(piece) bool) {
			for t := range pieces(text, 0) {
				if !yield(piece{delta: delta("thinking_delta", "thinking", t)}) {
					return
				}
			}
			yield(piece{delta: delta("signature_delta", "signature", signature)})
		},
		whole: thinkingBlock{Type: "thinking", Thinking: text, Signature: signature},
	})
	a.output += len(strings.Fields(text))
}

func (a *answer) useTool(name string, input ...string) {
	id := "toolu_sim_" + fingerprint(a.id, name)
	parts := []piece{{delta: delta("input_json_delta", "partial_json", "")}}
	for _, s := range input {
		parts = append(parts, piece{delta: delta("input_json_delta", "partial_json", s)})
	}
	a.blocks = append(a.blocks, block{
		start:  toolBlock{Type: "tool_use", ID: id, Name: name, Input: json.RawMessage("{}")},
		pieces: slices.Values(parts),
		whole:  toolBlock{Type: "tool_use", ID: id, Name: name, Input: json.RawMessage(strings.Join(input, ""))},
	})
	a.stopReason = "tool_use"
	a.output += len(input)
}

// message is the answer as a call without stream returns it.
func (a *answer) message() message {
	m := a.opening()
	for _, b := range a.blocks {
		m.Content = append(m.Content, b.whole)
	}
	m.StopReason = &a.stopReason
	m.Usage.OutputTokens = a.output
	return m
}

// opening is the message as a stream begins: nothing said yet.
func (a *answer) opening() message {
	return message{
		ID: a.id, Type: "message", Role: "assistant", Model: a.model, Content: []any{},
		Usage: usage{InputTokens: a.input, OutputTokens: 1, ServiceTier: "standard"},
	}
}

// event is one event of the stream; text is the text that it carries.
type event struct {
	name string
	data any
	text string
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

// events is the answer as a stream.
func (a *answer) events() iter.Seq[event] {
	return func(yield func(event) bool) {
		send := func(d eventData, text string) bool {
			return yield(event{name: d.Type, data: d, text: text})
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
			Delta: stopDelta{StopReason: a.stopReason},
			Usage: &deltaUsage{a.output},
		}, "") && send(eventData{Type: "message_stop"}, "")
	}
}

// events sends the block's part of the stream; false means stop. A ping stands
// behind the start of the first block, as with the real provider.
func (b *block) events(index int, send func(eventData, string) bool) bool {
	if !send(eventData{Type: "content_block_start", Index: &index, ContentBlock: b.start}, "") {
		return false
	}
	if index == 0 && !send(eventData{Type: "ping"}, "") {
		return false
	}
	for p := range b.pieces {
		if !send(eventData{Type: "content_block_delta", Index: &index, Delta: p.delta}, p.text) {
			return false
		}
	}
	return send(eventData{Type: "content_block_stop", Index: &index}, "")
}

// encode is JSON as the provider writes it: without HTML escapes.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("simulate: encode %T: %v", v, err)) // only our own types come here
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// fingerprint is short, and the same for the same parts.
func fingerprint(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))[:24]
}
