package strictjson

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"
)

// ordered writes a small value: it writes the members of each object first, and sorts them
// afterwards.
type ordered struct {
	scanner
	top int // the depth at which null means absence; 0: nowhere
	out []byte
}

func (c *ordered) value() {
	switch c.peek() {
	case '{':
		c.object()
	case '[':
		c.array()
	case '"':
		c.string()
	default:
		c.word()
	}
}

// word writes a number, true, false or null.
func (c *ordered) word() {
	from := c.at
	for c.at < len(c.text) && strings.IndexByte(",]} \n\r\t", c.text[c.at]) < 0 {
		c.at++
	}
	word := c.text[from:c.at]
	if len(word) > 0 && (word[0] == '-' || isDigit(word[0])) {
		if d, ok := parseDecimal(string(word)); ok {
			c.out = d.appendTo(c.out)
			return
		}
	}
	c.out = append(c.out, word...)
}

// written is a member in its canonical form: out[from:to], its name ends at name.
type written struct{ from, name, to int }

func (c *ordered) object() {
	c.depth++
	c.out = append(c.out, '{')
	begin := len(c.out)
	var members []written
	for c.enter('}') {
		m := written{from: len(c.out)}
		c.string()
		m.name = len(c.out)
		c.space()
		c.at++ // the colon
		c.space()
		c.out = append(c.out, ':')
		c.value()
		m.to = len(c.out)
		if c.depth == c.top && string(c.out[m.name:m.to]) == ":null" {
			c.out = c.out[:m.from]
			continue
		}
		members = append(members, m)
	}
	c.depth--
	c.sort(begin, members)
	c.out = append(c.out, '}')
}

// sort sorts the members that are in out from begin on by their names, with commas between
// them.
func (c *ordered) sort(begin int, members []written) {
	slices.SortFunc(members, func(a, b written) int {
		return bytes.Compare(c.out[a.from:a.name], c.out[b.from:b.name])
	})
	unsorted := bytes.Clone(c.out[begin:])
	c.out = c.out[:begin]
	for i, m := range members {
		if i > 0 {
			c.out = append(c.out, ',')
		}
		c.out = append(c.out, unsorted[m.from-begin:m.to-begin]...)
	}
}

func (c *ordered) array() {
	c.out = append(c.out, '[')
	for i := 0; c.enter(']'); i++ {
		if i > 0 {
			c.out = append(c.out, ',')
		}
		c.value()
	}
	c.out = append(c.out, ']')
}

// enter steps to the next member of an array or object: over its opening bracket or a
// comma. At the end it steps over the closing bracket instead.
func (c *ordered) enter(end byte) bool {
	c.space()
	if c.peek() == end {
		c.at++
		return false
	}
	c.at++
	c.space()
	if c.peek() == end { // an empty one
		c.at++
		return false
	}
	return true
}

func (c *ordered) string() {
	s, _ := c.scanner.string()
	c.out = append(c.out, '"')
	for plain, r := range plainPieces(c.text[s.from:s.to]) {
		c.out = appendRune(append(c.out, plain...), r)
	}
	c.out = append(c.out, '"')
}

// appendRune appends a character of a string in its written form, nothing for noRune.
func appendRune(dst []byte, r rune) []byte {
	switch {
	case r == noRune:
		return dst
	case r == '"', r == '\\', r < ' ':
		return AppendEscaped(dst, []byte{byte(r)})
	default:
		return utf8.AppendRune(dst, r)
	}
}

// AppendEscaped escapes only what must be escaped.
func AppendEscaped(dst, text []byte) []byte {
	const hex = "0123456789abcdef"
	for {
		n := plainPrefix(text)
		dst = append(dst, text[:n]...)
		if n == len(text) {
			return dst
		}
		if b := text[n]; b < ' ' {
			dst = append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
		} else {
			dst = append(dst, '\\', b)
		}
		text = text[n+1:]
	}
}
