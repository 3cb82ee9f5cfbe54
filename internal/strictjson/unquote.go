package strictjson

import (
	"bytes"
	"iter"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Unescape returns the text of a JSON string, given its contents. Text between escapes is
// copied in one piece, so that a long prompt costs one copy. Half of a surrogate pair
// becomes U+FFFD; so do, if there are escapes, bytes that are not UTF-8.
func Unescape(contents []byte) string {
	if bytes.IndexByte(contents, '\\') < 0 {
		return string(contents)
	}
	var text strings.Builder
	text.Grow(len(contents))
	for plain, r := range plainPieces(contents) {
		text.Write(plain)
		if r != noRune {
			text.WriteRune(r)
		}
	}
	if !utf8.Valid(contents) {
		return string([]rune(text.String()))
	}
	return text.String()
}

// appendUnquoted appends what Unescape returns.
func appendUnquoted(dst, quoted []byte) []byte {
	for plain, r := range plainPieces(quoted) {
		dst = append(dst, plain...)
		if r != noRune {
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}

// noRune follows the last piece of a string.
const noRune rune = -1

// plainPieces cuts a string at its escapes: each piece is plain text and the character of
// the escape after it.
func plainPieces(quoted []byte) iter.Seq2[[]byte, rune] {
	return func(yield func([]byte, rune) bool) {
		for {
			at := bytes.IndexByte(quoted, '\\')
			if at < 0 {
				yield(quoted, noRune)
				return
			}
			r, size := oneEscape(quoted[at:])
			if !yield(quoted[:at], r) {
				return
			}
			quoted = quoted[at+size:]
		}
	}
}

// oneEscape reads one escape, or the two of a surrogate pair.
func oneEscape(quoted []byte) (r rune, size int) {
	if len(quoted) < 2 {
		return utf8.RuneError, len(quoted)
	}
	switch c := quoted[1]; c {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		return oneUnit(quoted)
	default: // the quote, the backslash and the slash
		return rune(c), 2
	}
}

// oneUnit reads \uXXXX, and the next one if they are a surrogate pair.
func oneUnit(quoted []byte) (r rune, size int) {
	const length = len(`\uXXXX`)
	unit, ok := hexUnit(quoted)
	if !ok {
		return utf8.RuneError, min(length, len(quoted))
	}
	if !utf16.IsSurrogate(unit) {
		return unit, length
	}
	if low, ok := hexUnit(quoted[length:]); ok && isPair(unit, low) {
		return utf16.DecodeRune(unit, low), 2 * length
	}
	return utf8.RuneError, length
}

// hexUnit reads \uXXXX at the beginning of text: one unit of UTF-16.
func hexUnit(text []byte) (unit rune, ok bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	for _, c := range text[2:6] {
		switch {
		case isDigit(c):
			unit = unit<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			unit = unit<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return unit, true
}

func isPair(high, low rune) bool { return utf16.DecodeRune(high, low) != utf8.RuneError }
