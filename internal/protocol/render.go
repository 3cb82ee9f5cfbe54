package protocol

import (
	"encoding/json"
	"iter"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/strictjson"
)

// A Piece is an entry in the log of an answer: a delta, or a frame, which is what the
// provider's own stream has around the deltas. [Dialect.Render] makes that stream again
// of them. A log without frames is one of deltas alone, as users see them.
type Piece struct {
	Kind PieceKind
	// Delta is the piece of a PieceDelta. Of a PieceBlock and a PieceWhole, its kind and
	// its index are those of the deltas that the frame is about.
	Delta ringback.Delta
	// JSON is the content of a frame.
	JSON json.RawMessage
}

// PieceKind is what a piece is.
type PieceKind string

// The kinds of pieces.
const (
	PieceDelta PieceKind = "delta"
	// PieceStart is the message as it begins: its id, its model, its role.
	PieceStart PieceKind = "start"
	// PieceBlock is a block, or a tool call, as it begins: its type, its id, its name.
	PieceBlock PieceKind = "block"
	// PieceWhole: the deltas of its kind that follow are in PieceEnd too.
	PieceWhole PieceKind = "whole"
	// PieceEnd is the whole message without the strings that the deltas are.
	PieceEnd PieceKind = "end"
)

// emitFrame emits a frame, where frames are wanted.
func (t Emitter) emitFrame(kind PieceKind, of ringback.DeltaKind, index int, frame json.RawMessage) {
	if t.Frame != nil {
		t.Frame(Piece{Kind: kind, Delta: ringback.Delta{Kind: of, Index: index}, JSON: frame})
	}
}

// blanked returns an object in which the members of the given names, where they are
// strings, are empty.
func blanked(object []byte, names ...string) []byte {
	var fields []strictjson.Field
	for _, name := range names {
		if strictjson.FirstByte(strictjson.ValueOf(object, name)) == '"' {
			fields = append(fields, strictjson.Field{Name: name, Value: []byte(`""`)})
		}
	}
	return strictjson.AppendObject(nil, object, fields...)
}

// objectOf returns an object of the given fields.
func objectOf(fields ...strictjson.Field) []byte {
	return strictjson.AppendObject(nil, []byte("{}"), fields...)
}

func quoted(name, value string) strictjson.Field {
	return strictjson.Field{Name: name, Value: strictjson.Quote(value)}
}

func raw(name string, value []byte) strictjson.Field {
	return strictjson.Field{Name: name, Value: value}
}

// rendering renders one log: piece is called for each piece in turn, with the function
// that takes the events.
func rendering(log iter.Seq[Piece], piece func(p Piece, yield func([]byte) bool) bool) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for p := range log {
			if !piece(p, yield) {
				return
			}
		}
	}
}
