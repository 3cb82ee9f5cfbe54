package webhook

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText is how much of an answer is kept, in bytes.
const maxText = 1 << 10

// text turns a receiver's answer into something that can be stored and shown: valid UTF-8
// of at most maxText bytes, with a space for each control, format or unassigned character.
func text(b []byte) string {
	var out strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		b = b[n:]
		if !unicode.IsGraphic(r) {
			r = ' '
		}
		if out.Len()+utf8.RuneLen(r) > maxText {
			break
		}
		out.WriteRune(r)
	}
	return strings.TrimSpace(out.String())
}
