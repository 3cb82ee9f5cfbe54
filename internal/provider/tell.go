package provider

import (
	"bytes"
	"strings"

	"github.com/ringback/ringback"
)

// teller tells an answer piece by piece. Each assembler knows how much of which of
// its strings has been told, in bytes as they are escaped: what is told is cut out of
// what the answer will be made of, so the two cannot differ.
type teller struct {
	to func(ringback.Delta)
	// ended: nothing follows what has come, not even the other half of a character.
	ended bool
}

// string tells what a string has grown by. contents are those of the JSON string by
// now, of which told bytes have been told. Half a character waits for its other half.
func (t teller) string(kind ringback.DeltaKind, index int, contents []byte, told *int) {
	news := contents[*told:]
	if !t.ended {
		news = news[:len(news)-halfAtEnd(news)]
	}
	*told += len(news)
	t.text(kind, index, unescape(news))
}

// text tells what has come whole.
func (t teller) text(kind ringback.DeltaKind, index int, text string) {
	if text != "" {
		t.to(ringback.Delta{Kind: kind, Index: index, Text: text})
	}
}

// halfAtEnd is the length of an escape at the end of a JSON string's contents that
// is the first half of a surrogate pair; 0 if there is none.
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

// unescape gives the meaning of the contents of a JSON string.
func unescape(contents []byte) string {
	if bytes.IndexByte(contents, '\\') < 0 {
		return string(contents)
	}
	quoted := append(make([]byte, 0, len(contents)+len(`""`)), '"')
	return unquote(append(append(quoted, contents...), '"'))
}
