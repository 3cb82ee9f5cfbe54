package protocol

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/strictjson"
)

// Render returns the events of the stream with the given log, each as it is sent.
func (anthropic) Render(log iter.Seq[Piece]) iter.Seq[[]byte] {
	r := anthropicRenderer{inputs: map[int]bool{}}
	return rendering(log, func(p Piece, yield func([]byte) bool) bool {
		for _, event := range r.events(p) {
			if !yield(anthropicEvent(event)) {
				return false
			}
		}
		return true
	})
}

// anthropicEvent frames an event, whose name is its type.
func anthropicEvent(data []byte) []byte {
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", strictjson.String(strictjson.ValueOf(data, "type")), data)
}

// anthropicRenderer renders the pieces of one log.
type anthropicRenderer struct {
	start  []byte       // the message at its beginning
	blocks [][]byte     // at their beginning, by their place
	inputs map[int]bool // places of blocks whose input has been rendered
}

func (r *anthropicRenderer) events(p Piece) [][]byte {
	switch p.Kind {
	case PieceStart:
		r.start = p.JSON
		return [][]byte{objectOf(quoted("type", "message_start"), raw("message", p.JSON))}
	case PieceBlock:
		r.blocks = append(r.blocks, p.JSON)
		return [][]byte{objectOf(quoted("type", "content_block_start"), raw("index", number(p.Delta.Index)), raw("content_block", p.JSON))}
	case PieceDelta:
		return [][]byte{r.delta(p.Delta)}
	case PieceEnd:
		return r.end(p.JSON)
	}
	return nil
}

func (r *anthropicRenderer) delta(d ringback.Delta) []byte {
	switch d.Kind {
	case ringback.DeltaThinking:
		return blockDelta(d.Index, quoted("type", "thinking_delta"), quoted("thinking", d.Text))
	case ringback.DeltaToolInput:
		r.inputs[d.Index] = true
		return blockDelta(d.Index, quoted("type", "input_json_delta"), quoted("partial_json", d.Text))
	}
	return blockDelta(d.Index, quoted("type", "text_delta"), quoted("text", d.Text))
}

func blockDelta(index int, delta ...strictjson.Field) []byte {
	return objectOf(quoted("type", "content_block_delta"), raw("index", number(index)), raw("delta", objectOf(delta...)))
}

// end renders the rest of the message: signatures and citations of its blocks, why it
// ended, its usage.
func (r *anthropicRenderer) end(message []byte) (events [][]byte) {
	blocks := slices.Collect(strictjson.Elements(strictjson.ValueOf(message, "content")))
	for i, began := range r.blocks {
		if i < len(blocks) {
			events = append(events, r.rest(i, began, blocks[i])...)
		}
		events = append(events, objectOf(quoted("type", "content_block_stop"), raw("index", number(i))))
	}
	var delta []strictjson.Field
	var usage []byte
	for m := range strictjson.Members(message) {
		switch name := string(m.Name); {
		case name == "usage":
			usage = m.Value
		case name != "content" && !bytes.Equal(m.Value, strictjson.ValueOf(r.start, name)):
			delta = append(delta, raw(name, m.Value))
		}
	}
	ended := []strictjson.Field{quoted("type", "message_delta"), raw("delta", objectOf(delta...))}
	if usage != nil {
		ended = append(ended, raw("usage", usage))
	}
	return append(events, objectOf(ended...), objectOf(quoted("type", "message_stop")))
}

// rest renders what a block has in addition to its beginning and its deltas.
func (r *anthropicRenderer) rest(index int, began, block []byte) (events [][]byte) {
	var others []strictjson.Field
	for m := range strictjson.Members(block) {
		name, known := string(m.Name), strictjson.ValueOf(began, string(m.Name))
		switch {
		case bytes.Equal(m.Value, known), name == "input" && r.inputs[index]:
		case name == "signature":
			events = append(events, blockDelta(index, quoted("type", "signature_delta"), raw(name, m.Value)))
		case name == "citations":
			all := slices.Collect(strictjson.Elements(m.Value))
			before := len(slices.Collect(strictjson.Elements(known)))
			for _, citation := range all[min(before, len(all)):] {
				events = append(events, blockDelta(index, quoted("type", "citations_delta"), raw("citation", citation)))
			}
		case m.Value[0] == '"' && strictjson.FirstByte(known) == '"': // which goes on
			others = append(others, raw(name, slices.Concat([]byte{'"'}, bytes.TrimPrefix(m.Value[1:], strictjson.Inside(known)))))
		default:
			others = append(others, raw(name, m.Value))
		}
	}
	if len(others) > 0 {
		kind := string(strictjson.String(strictjson.ValueOf(block, "type"))) + "_delta"
		if kind == "text_delta" || kind == "thinking_delta" {
			kind = "block_delta"
		}
		events = append(events, blockDelta(index, append([]strictjson.Field{quoted("type", kind)}, others...)...))
	}
	return events
}

func number(n int) []byte { return strconv.AppendInt(nil, int64(n), 10) }

// emitStart emits the beginning of the message, once.
func (a *anthropicAnswer) emitStart(t Emitter) {
	if t.Frame == nil || a.head == nil || a.emittedStart {
		return
	}
	a.emittedStart = true
	head := a.head
	if strictjson.ValueOf(head, "content") != nil {
		head = strictjson.AppendObject(nil, head, raw("content", []byte("[]")))
	}
	t.emitFrame(PieceStart, "", 0, head)
}

// emitBlocks emits the beginnings of the blocks before a place: a block's place is the
// number of those that began before it.
func (a *anthropicAnswer) emitBlocks(t Emitter, place int) {
	if t.Frame == nil {
		return
	}
	for ; a.emittedBlocks < place; a.emittedBlocks++ {
		a.blocks[a.emittedBlocks].emitBegin(t)
	}
}

// emitEnd emits the message without the strings of its deltas.
func (a *anthropicAnswer) emitEnd(t Emitter) {
	if t.Frame == nil || t.Broken || a.head == nil {
		return
	}
	message := a.Message()
	a.final = message
	content := []byte{'['}
	for block := range strictjson.Elements(strictjson.ValueOf(message, "content")) {
		if len(content) > 1 {
			content = append(content, ',')
		}
		content = append(content, withoutDeltas(block)...)
	}
	t.emitFrame(PieceEnd, "", 0, strictjson.AppendObject(nil, message, raw("content", append(content, ']'))))
}

// emitBegin emits the beginning of the block, once.
func (b *anthropicBlock) emitBegin(t Emitter) {
	if t.Frame == nil || b.emittedBegin {
		return
	}
	b.emittedBegin = true
	t.emitFrame(PieceBlock, "", b.place, withoutDeltas(b.head))
}

// withoutDeltas returns a block without the strings that deltas are made of.
func withoutDeltas(block []byte) []byte {
	kind := string(strictjson.String(strictjson.ValueOf(block, "type")))
	if kind == "text" || kind == "thinking" {
		block = blanked(block, kind)
	}
	if input := strictjson.ValueOf(block, "input"); len(strictjson.Fields(input)) > 0 {
		block = strictjson.AppendObject(nil, block, raw("input", []byte("{}")))
	}
	return block
}
