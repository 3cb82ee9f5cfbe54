package live

import (
	"iter"
	"slices"
	"unsafe"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/protocol"
)

// frame is a frame of the provider's own stream, with its place in the log. It is no event,
// and readers do not see it.
type frame struct {
	after ringback.EventID // the event that it follows
	json  string
	index int32
	kind  uint8 // of frameKinds
	of    kind
}

// frameKinds are the kinds of pieces that are frames.
var frameKinds = []protocol.PieceKind{protocol.PieceStart, protocol.PieceBlock, protocol.PieceWhole, protocol.PieceEnd}

// newFrame returns the frame of a piece. It is known only if the piece is of a kind that is
// kept.
func newFrame(after ringback.EventID, p protocol.Piece) (f frame, known bool) {
	at := slices.Index(frameKinds, p.Kind)
	if at < 0 {
		return f, false
	}
	return frame{after: after, json: string(p.JSON), index: int32(p.Delta.Index), kind: uint8(at), of: kindOf(p.Delta.Kind)}, true
}

func (f frame) piece() protocol.Piece {
	return protocol.Piece{
		Kind: frameKinds[f.kind], Delta: ringback.Delta{Kind: kinds[f.of], Index: int(f.index)}, JSON: []byte(f.json),
	}
}

// frames are the frames of a log, in their order. The lock of the log guards them.
type frames struct {
	all   []frame
	bytes int // of their JSON
}

func (f *frames) add(one frame) {
	f.all = append(f.all, one)
	f.bytes += len(one.json)
}

// size returns about how much memory the frames take.
func (f *frames) size() int64 {
	return int64(f.bytes) + int64(cap(f.all))*int64(unsafe.Sizeof(frame{}))
}

// appendTo appends the frames that follow an event.
func (f *frames) appendTo(to []protocol.Piece, after ringback.EventID) []protocol.Piece {
	from, _ := slices.BinarySearchFunc(f.all, after, func(f frame, id ringback.EventID) int { return f.after.Compare(id) })
	for _, one := range f.all[from:] {
		if one.after != after {
			break
		}
		to = append(to, one.piece())
	}
	return to
}

// Frame writes what the provider's own stream has around the pieces of an attempt's answer.
func (l *Log) Frame(attempt int64, p protocol.Piece) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isVoid(attempt) {
		return
	}
	l.flush()
	if f, known := newFrame(l.last(), p); known {
		l.frames.add(f)
	}
}

// setFrames adds the frames that were stored to a log that has none: frames that are there
// are those of a later attempt.
func (l *Log) setFrames(f frames) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.frames.all) == 0 {
		l.frames = f
	}
}

// Pieces returns the pieces and frames that the log has of the last attempt that has begun.
// [protocol.Dialect.Render] makes the provider's own stream of them. A log that another node
// relays has no frames until the job has ended.
func (l *Log) Pieces() iter.Seq[protocol.Piece] {
	return func(yield func(protocol.Piece) bool) {
		after := l.lastStarted()
		pieces := l.framesAfter(after)
		for {
			for _, p := range pieces {
				if !yield(p) {
					return
				}
			}
			var more bool
			if pieces, after, more = l.piecesAfter(after); !more {
				return
			}
		}
	}
}

// lastStarted returns the id of the event with which the last attempt has begun.
func (l *Log) lastStarted() ringback.EventID {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range slices.Backward(l.entries) {
		if e.other != nil && e.other.Type == ringback.EventStarted {
			return e.id
		}
	}
	return ringback.EventID{}
}

func (l *Log) framesAfter(id ringback.EventID) []protocol.Piece {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.frames.appendTo(nil, id)
}

// piecesAfter returns some of the pieces of an attempt after an event, and the last event
// among them; more is false if there are none.
func (l *Log) piecesAfter(id ringback.EventID) (pieces []protocol.Piece, last ringback.EventID, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	events, _ := l.behind(id, false, mostEvents)
	for _, e := range events {
		if e.Attempt != id.Attempt || e.Job != nil {
			return pieces, id, len(pieces) > 0
		}
		if id = e.EventID; e.Delta != nil {
			pieces = append(pieces, protocol.Piece{Kind: protocol.PieceDelta, Delta: *e.Delta})
		}
		pieces = l.frames.appendTo(pieces, id)
	}
	return pieces, id, len(events) > 0
}
