// Package longjson writes JSON whose values are too long to be copied: piece by piece,
// byte for byte as encoding/json writes the whole without HTML escapes.
package longjson

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// A Value writes a JSON value. It can do so several times.
type Value func(out *bufio.Writer) error

// pieceSize is how much is written at once.
const pieceSize = 32 << 10

// Write writes the value.
func (v Value) Write(w io.Writer) error {
	out := bufio.NewWriterSize(w, pieceSize)
	if err := v(out); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// Len returns how many bytes Write writes.
func (v Value) Len() (int64, error) {
	var n counter
	err := v.Write(&n)
	return int64(n), err
}

type counter int64

func (n *counter) Write(p []byte) (int, error) {
	*n += counter(len(p))
	return len(p), nil
}

// Text is a string.
func Text(text []byte) Value {
	return func(out *bufio.Writer) error {
		_ = out.WriteByte('"')
		escape(out, text)
		return out.WriteByte('"')
	}
}

// Joined is the string that several JSON strings are together. The strings must be
// valid JSON.
func Joined(parts iter.Seq[[]byte]) Value {
	return func(out *bufio.Writer) error {
		_ = out.WriteByte('"')
		for part := range parts {
			rewrite(out, part[1:len(part)-1])
		}
		return out.WriteByte('"')
	}
}

// Compact is JSON without the space between its tokens. The text must be valid JSON.
func Compact(text []byte) Value {
	return func(out *bufio.Writer) error {
		begin, quoted := 0, false
		for i := 0; i < len(text); i++ {
			switch b := text[i]; {
			case quoted && b == '\\':
				i++
			case b == '"':
				quoted = !quoted
			case !quoted && (b == ' ' || b == '\t' || b == '\n' || b == '\r'):
				_, _ = out.Write(text[begin:i])
				begin = i + 1
			}
		}
		_, err := out.Write(text[begin:])
		return err
	}
}

// Object is an object with other values in place of those that some of its members
// have. A name that is no member of it is ignored.
func Object(object []byte, values map[string]Value) Value {
	return func(out *bufio.Writer) (err error) {
		next := byte('{')
		gjson.ParseBytes(object).ForEach(func(name, value gjson.Result) bool {
			_ = out.WriteByte(next)
			next = ','
			_, _ = out.WriteString(name.Raw)
			_ = out.WriteByte(':')
			if long, ok := values[name.Str]; ok {
				err = long(out)
			} else {
				_, err = out.WriteString(value.Raw)
			}
			return err == nil
		})
		if err != nil {
			return err
		}
		return out.WriteByte('}')
	}
}

// rewrite writes the inside of a JSON string with the escapes that encoding/json
// would write.
func rewrite(out *bufio.Writer, inside []byte) {
	begin := 0
	for i := 0; i < len(inside); {
		if inside[i] != '\\' || i+1 == len(inside) {
			i++
			continue
		}
		escape(out, inside[begin:i])
		r, length := unescape(inside[i:])
		var room [utf8.UTFMax]byte
		escape(out, room[:utf8.EncodeRune(room[:], r)])
		i += length
		begin = i
	}
	escape(out, inside[begin:])
}

// plainEscapes are the escapes of one character.
var plainEscapes = map[byte]rune{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unescape returns the character that an escape stands for, and how long the escape is.
func unescape(text []byte) (r rune, length int) {
	if text[1] != 'u' {
		if r, ok := plainEscapes[text[1]]; ok {
			return r, 2
		}
		return rune(text[1]), 2
	}
	r, length = hex(text[2:]), min(6, len(text))
	if utf16.IsSurrogate(r) && len(text) >= 12 && text[6] == '\\' && text[7] == 'u' {
		if pair := utf16.DecodeRune(r, hex(text[8:])); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return r, length
}

func hex(text []byte) rune {
	n, err := strconv.ParseUint(string(text[:min(4, len(text))]), 16, 32)
	if err != nil {
		return utf8.RuneError
	}
	return rune(n)
}

// escape writes text as the inside of a JSON string. An error stays in out.
func escape(out *bufio.Writer, text []byte) {
	const digits = "0123456789abcdef"
	begin := 0
	for i := 0; i < len(text); {
		b := text[i]
		if b >= ' ' && b != '"' && b != '\\' && b < utf8.RuneSelf {
			i++
			continue
		}
		size, escaped := 1, ""
		switch b {
		case '"', '\\':
			escaped = `\` + string(rune(b))
		case '\b':
			escaped = `\b`
		case '\f':
			escaped = `\f`
		case '\n':
			escaped = `\n`
		case '\r':
			escaped = `\r`
		case '\t':
			escaped = `\t`
		default:
			if b < ' ' {
				escaped = `\u00` + string(digits[b>>4]) + string(digits[b&0xf])
				break
			}
			var r rune
			r, size = utf8.DecodeRune(text[i:])
			switch {
			case r == utf8.RuneError && size == 1:
				escaped = `\ufffd`
			case r == '\u2028':
				escaped = `\u2028`
			case r == '\u2029':
				escaped = `\u2029`
			}
		}
		if escaped != "" {
			_, _ = out.Write(text[begin:i])
			_, _ = out.WriteString(escaped)
			begin = i + size
		}
		i += size
	}
	_, _ = out.Write(text[begin:])
}
