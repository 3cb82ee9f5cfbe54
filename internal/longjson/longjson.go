// Package longjson writes JSON whose values are too long to be copied: piece by piece, byte
// for byte as encoding/json writes the whole without HTML escapes.
package longjson

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"iter"
	"strconv"
	"sync"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// A Value is a JSON value that is written when needed, as often as needed.
type Value struct {
	write  func(out *bufio.Writer) error
	length func() (int64, error)
}

// pieceSize is how much is written at once.
const pieceSize = 32 << 10

// valueOf returns a value whose length is counted by writing it, once.
func valueOf(write func(out *bufio.Writer) error) Value {
	v := Value{write: write}
	v.length = sync.OnceValues(func() (int64, error) {
		var n counter
		err := v.Write(&n)
		return int64(n), err
	})
	return v
}

// Write writes the value.
func (v Value) Write(w io.Writer) error {
	out := bufio.NewWriterSize(w, pieceSize)
	if err := v.write(out); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// Len returns how many bytes Write writes. They are counted once for all copies of v.
func (v Value) Len() (int64, error) { return v.length() }

// Between returns the value with something before and after it.
func (v Value) Between(before, behind string) Value {
	return Value{
		write: func(out *bufio.Writer) error {
			_, _ = out.WriteString(before)
			if err := v.write(out); err != nil {
				return err
			}
			_, err := out.WriteString(behind)
			return err
		},
		length: func() (int64, error) {
			n, err := v.Len()
			return n + int64(len(before)+len(behind)), err
		},
	}
}

type counter int64

func (n *counter) Write(p []byte) (int, error) {
	*n += counter(len(p))
	return len(p), nil
}

// Text returns a string.
func Text(text []byte) Value {
	return valueOf(func(out *bufio.Writer) error {
		_ = out.WriteByte('"')
		escape(out, text)
		return out.WriteByte('"')
	})
}

// Joined returns the concatenation of several JSON strings, which must be valid JSON.
func Joined(parts iter.Seq[[]byte]) Value {
	return valueOf(func(out *bufio.Writer) error {
		_ = out.WriteByte('"')
		for part := range parts {
			rewrite(out, part[1:len(part)-1])
		}
		return out.WriteByte('"')
	})
}

// Compact returns JSON without the space between its tokens. The text must be valid JSON.
func Compact(text []byte) Value {
	return valueOf(func(out *bufio.Writer) error {
		begin := 0
		for i := 0; i < len(text); {
			switch text[i] {
			case '"':
				i += quoted(text[i:])
			case ' ', '\t', '\n', '\r':
				_, _ = out.Write(text[begin:i])
				i++
				begin = i
			default:
				i++
			}
		}
		_, err := out.Write(text[begin:])
		return err
	})
}

// quoted returns the length of the string at the beginning of text.
func quoted(text []byte) int {
	for i := 1; i < len(text); {
		end := bytes.IndexByte(text[i:], '"')
		if end < 0 {
			break
		}
		escape := bytes.IndexByte(text[i:i+end], '\\')
		if escape < 0 {
			return i + end + 1
		}
		i += escape + 2
	}
	return len(text)
}

// Object returns an object with the values of some of its members replaced. It ignores
// names that are not members.
func Object(object []byte, values map[string]Value) Value {
	return Value{
		write: func(out *bufio.Writer) (err error) {
			next := byte('{')
			gjson.ParseBytes(object).ForEach(func(name, value gjson.Result) bool {
				_ = out.WriteByte(next)
				next = ','
				_, _ = out.WriteString(name.Raw)
				_ = out.WriteByte(':')
				if long, ok := values[name.Str]; ok {
					err = long.write(out)
				} else {
					_, err = out.WriteString(value.Raw)
				}
				return err == nil
			})
			if err != nil {
				return err
			}
			return out.WriteByte('}')
		},
		length: func() (n int64, err error) {
			gjson.ParseBytes(object).ForEach(func(name, value gjson.Result) bool {
				length := int64(len(value.Raw))
				if long, ok := values[name.Str]; ok {
					length, err = long.Len()
				}
				n += int64(len(name.Raw)) + length + 2 // the colon, and what precedes
				return err == nil
			})
			return n + 1, err
		},
	}
}

// rewrite writes the inside of a JSON string with the escapes that encoding/json
// would write.
func rewrite(out *bufio.Writer, inside []byte) {
	for len(inside) > 0 {
		run := bytes.IndexByte(inside, '\\')
		if run < 0 {
			run = len(inside)
		}
		if plain := inside[:run]; utf8.Valid(plain) && !bytes.Contains(plain, []byte("\xe2\x80")) { // U+2028 begins so
			_, _ = out.Write(plain)
		} else {
			escape(out, plain)
		}
		if inside = inside[run:]; len(inside) < 2 {
			return
		}
		r, length := unescape(inside)
		var room [utf8.UTFMax]byte
		escape(out, room[:utf8.EncodeRune(room[:], r)])
		inside = inside[length:]
	}
}

// plainEscapes are the escapes of one character.
var plainEscapes = map[byte]rune{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unescape returns the character that an escape represents, and the escape's length.
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
