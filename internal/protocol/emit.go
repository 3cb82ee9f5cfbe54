package protocol

import (
	"bytes"
	"strings"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/strictjson"
)

// Emitter emits an answer piece by piece. Each assembly knows how much of each of its
// strings has been emitted, in bytes of the escaped form. Pieces are cut out of the same
// bytes that the answer will be made of, so the two cannot differ.
type Emitter struct {
	To func(ringback.Delta)
	// Frame, if set, is called with what the provider's stream has around the deltas.
	Frame func(Piece)
	// Ended: nothing follows, not even the other half of a character.
	Ended bool
	// Broken: the answer is not whole although nothing follows. It has no frame at its end.
	Broken bool
}

// emitString emits what a string has grown by. contents are the present contents of the
// JSON string; emitted is how many bytes of them have been emitted. Half a character waits
// for its other half.
func (t Emitter) emitString(kind ringback.DeltaKind, index int, contents []byte, emitted *int) {
	news := contents[*emitted:]
	if !t.Ended {
		news = news[:len(news)-halfAtEnd(news)]
	}
	*emitted += len(news)
	t.emitText(kind, index, strictjson.Unescape(news))
}

// emitText emits a text that arrived whole.
func (t Emitter) emitText(kind ringback.DeltaKind, index int, text string) {
	if text != "" {
		t.To(ringback.Delta{Kind: kind, Index: index, Text: text})
	}
}

// halfAtEnd returns the length of an escape at the end of a JSON string's contents that is
// the first half of a surrogate pair; 0 if there is none.
func halfAtEnd(contents []byte) int {
	const length = len(`\ud83d`)
	at := len(contents) - length
	if at < 0 || contents[at] != '\\' || contents[at+1] != 'u' ||
		strings.IndexByte("dD", contents[at+2]) < 0 || strings.IndexByte("89abAB", contents[at+3]) < 0 {
		return 0
	}
	before := at - len(bytes.TrimRight(contents[:at], `\`))
	if before%2 != 0 { // the backslash is itself escaped
		return 0
	}
	return length
}
