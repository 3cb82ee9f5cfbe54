package protocol

import (
	"iter"
	"slices"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/strictjson"
)

// Render returns the events of the stream with the given log, each as it is sent.
func (openai) Render(log iter.Seq[Piece]) iter.Seq[[]byte] {
	r := openaiRenderer{whole: map[ringback.DeltaKind]bool{}}
	return rendering(log, func(p Piece, yield func([]byte) bool) bool {
		if chunk := r.chunk(p); chunk != nil && !yield(slices.Concat([]byte("data: "), chunk, []byte("\n\n"))) {
			return false
		}
		return p.Kind != PieceEnd || yield([]byte("data: [DONE]\n\n"))
	})
}

// openaiRenderer renders the pieces of one log.
type openaiRenderer struct {
	head      []byte // of each chunk
	reasoning string // the member that thoughts are in
	text      bool   // some text has been rendered
	whole     map[ringback.DeltaKind]bool
}

// chunk returns the piece as a chunk of the stream; nil if it has none.
func (r *openaiRenderer) chunk(p Piece) []byte {
	switch p.Kind {
	case PieceStart:
		r.head = p.JSON
		return p.JSON
	case PieceBlock:
		if p.Delta.Kind == ringback.DeltaThinking {
			r.reasoning = string(strictjson.String(strictjson.ValueOf(p.JSON, "field")))
			return nil
		}
		return r.call(p.Delta, strictjson.Fields(p.JSON)...)
	case PieceWhole:
		r.whole[p.Delta.Kind] = true
	case PieceDelta:
		return r.delta(p.Delta)
	case PieceEnd:
		return r.end(p.JSON)
	}
	return nil
}

func (r *openaiRenderer) delta(d ringback.Delta) []byte {
	switch {
	case r.whole[d.Kind]:
		return nil
	case d.Kind == ringback.DeltaThinking:
		return r.piece(quoted(r.reasoning, d.Text))
	case d.Kind == ringback.DeltaToolInput:
		return r.call(d, raw("function", objectOf(quoted("arguments", d.Text))))
	}
	r.text = true
	return r.piece(quoted("content", d.Text))
}

// piece returns a chunk of the first choice.
func (r *openaiRenderer) piece(delta ...strictjson.Field) []byte {
	choice := objectOf(raw("index", number(0)), raw("delta", objectOf(delta...)))
	return strictjson.AppendObject(nil, r.head, raw("choices", slices.Concat([]byte{'['}, choice, []byte{']'})))
}

// call returns a chunk with a piece of a tool call, nil if the calls are rendered at the
// end.
func (r *openaiRenderer) call(of ringback.Delta, members ...strictjson.Field) []byte {
	if r.whole[ringback.DeltaToolInput] {
		return nil
	}
	call := objectOf(append([]strictjson.Field{raw("index", number(of.Index))}, members...)...)
	return r.piece(raw("tool_calls", slices.Concat([]byte{'['}, call, []byte{']'})))
}

// end returns the chunk with everything that has not been rendered.
func (r *openaiRenderer) end(message []byte) []byte {
	choices := []byte{'['}
	for choice := range strictjson.Elements(strictjson.ValueOf(message, "choices")) {
		if len(choices) > 1 {
			choices = append(choices, ',')
		}
		delta := strictjson.ValueOf(choice, "message")
		if len(choices) == 1 {
			delta = r.rest(delta)
		}
		choices = strictjson.AppendObject(choices, strictjson.Without(choice, "message"), raw("delta", numbered(delta)))
	}
	return strictjson.AppendObject(nil, message, quoted("object", "chat.completion.chunk"), raw("choices", append(choices, ']')))
}

// rest returns a message without the part of its content that was rendered as text.
func (r *openaiRenderer) rest(message []byte) []byte {
	content := strictjson.ValueOf(message, "content")
	if !r.text || strictjson.FirstByte(content) != '[' {
		return message
	}
	_, rest := strictjson.Cut(strictjson.After('[', content))
	for len(rest) > 0 && (rest[0] <= ' ' || rest[0] == ',') {
		rest = rest[1:]
	}
	return strictjson.AppendObject(nil, message, raw("content", slices.Concat([]byte{'['}, rest)))
}

// numbered returns a message whose tool calls have their indices, as in a stream.
func numbered(message []byte) []byte {
	if strictjson.FirstByte(strictjson.ValueOf(message, "tool_calls")) != '[' {
		return message
	}
	i := 0
	return withCalls(message, func(call []byte) []byte {
		i++
		return strictjson.AppendObject(nil, call, raw("index", number(i-1)))
	})
}

// withCalls returns a message with each tool call changed.
func withCalls(message []byte, change func(call []byte) []byte) []byte {
	calls := []byte{'['}
	for call := range strictjson.Elements(strictjson.ValueOf(message, "tool_calls")) {
		if len(calls) > 1 {
			calls = append(calls, ',')
		}
		if call[0] == '{' {
			call = change(call)
		}
		calls = append(calls, call...)
	}
	return strictjson.AppendObject(nil, message, raw("tool_calls", append(calls, ']')))
}

// emitStart emits the beginning of the answer, once.
func (a *openaiAnswer) emitStart(t Emitter) {
	if t.Frame == nil || a.emittedStart || len(a.choices) == 0 && a.whole == nil {
		return
	}
	a.emittedStart = true
	head, choices := a.whole, `[]`
	if head == nil {
		head = a.head.appendTo(nil)
	}
	if a.whole == nil && a.choices[0].index == 0 {
		choices = `[{"index":0,"delta":{"role":"assistant"}}]`
	}
	t.emitFrame(PieceStart, "", 0, strictjson.AppendObject(nil, head, quoted("object", "chat.completion.chunk"), raw("choices", []byte(choices))))
}

// emitCall emits the beginning of a tool call, before the first of its input.
func emitCall(t Emitter, of part, input *grown) {
	if t.Frame == nil || *of.emitted > 0 || len(input.contents()) == 0 {
		return
	}
	call := objectOf()
	for _, name := range []string{"id", "type"} {
		if v := of.value.member(name); v.kind == '"' {
			call = strictjson.AppendObject(nil, call, raw(name, v.appendTo(nil)))
		}
	}
	if name := of.value.member("function").member("name"); name.kind == '"' {
		call = strictjson.AppendObject(nil, call, raw("function", objectOf(raw("name", name.appendTo(nil)))))
	}
	t.emitFrame(PieceBlock, ringback.DeltaToolInput, of.place, call)
}

// emitWhole marks the deltas of some kinds as contained in the frame at the end, once.
func (c *openaiChoice) emitWhole(t Emitter, kinds ...ringback.DeltaKind) {
	if t.Frame == nil {
		return
	}
	if c.emittedWhole == nil {
		c.emittedWhole = map[ringback.DeltaKind]bool{}
	}
	for _, kind := range kinds {
		if !c.emittedWhole[kind] {
			c.emittedWhole[kind] = true
			t.emitFrame(PieceWhole, kind, 0, nil)
		}
	}
}

// emitEnd emits the message without the strings of the deltas of its first choice.
func (a *openaiAnswer) emitEnd(t Emitter, first *openaiChoice) {
	if t.Frame == nil || t.Broken {
		return
	}
	whole := a.Message()
	a.final = whole
	choices := []byte{'['}
	for choice := range strictjson.Elements(strictjson.ValueOf(whole, "choices")) {
		if len(choices) > 1 {
			choices = append(choices, ',')
		} else {
			message := first.withoutDeltas(strictjson.ValueOf(choice, "message"))
			choice = strictjson.AppendObject(nil, choice, raw("message", message))
		}
		choices = append(choices, choice...)
	}
	t.emitFrame(PieceEnd, "", 0, strictjson.AppendObject(nil, whole, raw("choices", append(choices, ']'))))
}

// withoutDeltas returns the choice's message without the strings that deltas are made of.
func (c *openaiChoice) withoutDeltas(message []byte) []byte {
	if !c.emittedWhole[ringback.DeltaText] {
		message = blanked(message, "content")
	}
	if c.reasoningField != "" && !c.emittedWhole[ringback.DeltaThinking] {
		message = blanked(message, c.reasoningField)
	}
	if strictjson.FirstByte(strictjson.ValueOf(message, "tool_calls")) == '[' && !c.emittedWhole[ringback.DeltaToolInput] {
		message = withCalls(message, func(call []byte) []byte {
			function := strictjson.ValueOf(call, "function")
			if strictjson.FirstByte(function) != '{' {
				return call
			}
			return strictjson.AppendObject(nil, call, raw("function", blanked(function, "arguments")))
		})
	}
	return message
}
