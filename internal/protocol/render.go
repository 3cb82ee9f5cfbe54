package protocol

import (
	"encoding/json"
	"iter"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/strictjson"
)

// A Piece is an entry in the log of an answer: a delta, or a frame, which is what the
// provider's own stream has around the deltas. [Dialect.Render] renders that stream again
// from them. A log without frames has only deltas, as users see them.
type Piece struct {
	Kind PieceKind
	// Delta is the delta of a PieceDelta. In a PieceBlock and a PieceWhole, its kind and
	// its index identify the deltas that the frame is about.
	Delta ringback.Delta
	// JSON is the content of a frame.
	JSON json.RawMessage
}

// PieceKind is the kind of a piece.
type PieceKind string

// The kinds of pieces.
const (
	PieceDelta PieceKind = "delta"
	// PieceStart is the beginning of the message: its id, its model, its role.
	PieceStart PieceKind = "start"
	// PieceBlock is the beginning of a block, or of a tool call: its type, its id, its
	// name.
	PieceBlock PieceKind = "block"
	// PieceWhole: the deltas of its kind that follow are in PieceEnd too.
	PieceWhole PieceKind = "whole"
	// PieceEnd is the whole message without the strings of the deltas.
	PieceEnd PieceKind = "end"
)

// emitFrame emits a frame, where frames are wanted.
func (t Emitter) emitFrame(kind PieceKind, of ringback.DeltaKind, index int, frame json.RawMessage) {
	if t.Frame != nil {
		t.Frame(Piece{Kind: kind, Delta: ringback.Delta{Kind: of, Index: index}, JSON: frame})
	}
}

// blanked returns an object with the named members emptied where they are strings.
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

// rendering renders one log: it calls piece for each piece in turn, with the function that
// takes the events.
func rendering(log iter.Seq[Piece], piece func(p Piece, yield func([]byte) bool) bool) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for p := range log {
			if !piece(p, yield) {
				return
			}
		}
	}
}
