package strictjson

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// plainBytes are the bytes of a string that need no escape.
var plainBytes = func() (t [256]bool) {
	for b := ' '; b < utf8.RuneSelf; b++ {
		t[b] = b != '"' && b != '\\'
	}
	return t
}()

// JavaScriptLen returns an upper bound on the length of what AppendJavaScript appends; 0
// for nil.
func JavaScriptLen(s *string) int {
	if s == nil {
		return 0
	}
	const longest = len(`\u0000`)
	size := len(`""`) + len(*s)
	for i := range len(*s) {
		switch b := (*s)[i]; {
		case plainBytes[b], b >= utf8.RuneSelf:
		case b < ' ':
			size += longest - 1
		default:
			size++
		}
	}
	return size
}

// AppendJavaScript appends a string, quoted, as [JavaScript] writes it.
func AppendJavaScript(dst []byte, s string) []byte {
	dst = append(dst, '"')
	done := 0
	for i, r := range s {
		invalid := r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD")
		if r >= utf8.RuneSelf && !invalid || r < utf8.RuneSelf && plainBytes[r] {
			continue
		}
		dst = append(dst, s[done:i]...)
		done = i + 1 // the replaced bytes are one
		if invalid {
			dst = append(dst, "\uFFFD"...)
		} else {
			dst = appendJavaScriptRune(dst, r)
		}
	}
	return append(append(dst, s[done:]...), '"')
}

// quoted rewrites a string, in runs: the unchanged bytes between kept and pos are written
// at once when something else follows.
func (c *javaScript) quoted() error {
	kept := c.pos
	c.pos++ // the quote
	for c.pos < len(c.in) {
		switch b := c.in[c.pos]; {
		case plainBytes[b]:
			c.pos++
		case b == '"':
			c.pos++
			c.keep(kept, c.pos)
			return nil
		case b == '\\':
			n, raw, err := c.escape()
			if err != nil {
				return err
			}
			if string(raw) != string(c.in[c.pos:c.pos+n]) {
				c.keep(kept, c.pos)
				c.write(raw)
				kept = c.pos + n
			}
			c.pos += n
		case b < ' ':
			return c.unexpected()
		default:
			r, n := utf8.DecodeRune(c.in[c.pos:])
			if r == utf8.RuneError && n == 1 {
				c.keep(kept, c.pos)
				c.write([]byte("\uFFFD"))
				kept = c.pos + n
			}
			c.pos += n
		}
	}
	return c.unexpected()
}

// escape reads the escape at pos: its length, or that of both halves of a
// surrogate pair, and what JavaScript would write instead.
func (c *javaScript) escape() (n int, written []byte, err error) {
	if c.pos+1 == len(c.in) {
		c.pos++
		return 0, nil, c.unexpected()
	}
	switch b := c.in[c.pos+1]; b {
	case '"', '\\', 'b', 'f', 'n', 'r', 't':
		return 2, c.in[c.pos : c.pos+2], nil
	case '/':
		return 2, append(c.scratch[:0], '/'), nil
	case 'u':
		return c.unicodeEscape()
	default:
		c.pos++
		return 0, nil, c.unexpected()
	}
}

func (c *javaScript) unicodeEscape() (n int, written []byte, err error) {
	r, ok := hexUnit(c.in[c.pos:])
	if !ok {
		return 0, nil, c.unexpected()
	}
	if !utf16.IsSurrogate(r) {
		return 6, appendJavaScriptRune(c.scratch[:0], r), nil
	}
	if low, ok := hexUnit(c.in[c.pos+6:]); ok {
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return 12, utf8.AppendRune(c.scratch[:0], pair), nil
		}
	}
	return 6, appendHex(c.scratch[:0], r), nil
}

// appendJavaScriptRune writes a character as JSON.stringify does.
func appendJavaScriptRune(b []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(b, '\\', byte(r))
	case '\b':
		return append(b, `\b`...)
	case '\t':
		return append(b, `\t`...)
	case '\n':
		return append(b, `\n`...)
	case '\f':
		return append(b, `\f`...)
	case '\r':
		return append(b, `\r`...)
	}
	if r < ' ' {
		return appendHex(b, r)
	}
	return utf8.AppendRune(b, r)
}

func appendHex(b []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', digits[r>>12], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}
