package api

import (
	"bytes"
	"iter"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// unquote is the text of a JSON string, given what stands between its quotes.
// A scanner has found it valid before. Text between escapes is copied in one
// piece, so that a long prompt costs one copy.
func unquote(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted)
	}
	var text strings.Builder
	text.Grow(len(quoted))
	for plain, r := range pieces(quoted) {
		text.Write(plain)
		if r != noRune {
			text.WriteRune(r)
		}
	}
	return text.String()
}

// appendUnquoted appends what unquote returns.
func appendUnquoted(dst, quoted []byte) []byte {
	for plain, r := range pieces(quoted) {
		dst = append(dst, plain...)
		if r != noRune {
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}

// noRune stands behind the last piece of a string.
const noRune rune = -1

// pieces cuts a string at its escapes: each piece is plain text and the character of
// the escape behind it.
func pieces(quoted []byte) iter.Seq2[[]byte, rune] {
	return func(yield func([]byte, rune) bool) {
		for {
			at := bytes.IndexByte(quoted, '\\')
			if at < 0 {
				yield(quoted, noRune)
				return
			}
			r, size := unescape(quoted[at:])
			if !yield(quoted[:at], r) {
				return
			}
			quoted = quoted[at+size:]
		}
	}
}

// unescape reads one escape, or the two of a surrogate pair.
func unescape(quoted []byte) (r rune, size int) {
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
		return unescapeUnit(quoted)
	default: // the quote, the backslash and the slash stand for themselves
		return rune(c), 2
	}
}

func unescapeUnit(quoted []byte) (r rune, size int) {
	unit, _ := hexUnit(quoted)
	size = len(`\uXXXX`)
	if isSurrogate(unit) {
		low, _ := hexUnit(quoted[size:])
		return utf16.DecodeRune(unit, low), 2 * size
	}
	return unit, size
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

func isSurrogate(unit rune) bool { return utf16.IsSurrogate(unit) }

func isPair(high, low rune) bool { return utf16.DecodeRune(high, low) != utf8.RuneError }
