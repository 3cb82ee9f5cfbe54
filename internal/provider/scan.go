package provider

import (
	"bytes"
	"iter"

	"github.com/tidwall/gjson"
)

// pair is a member of a JSON object, as it stands there.
type pair struct {
	key   []byte // with its quotes and escapes
	name  []byte // the meaning of the key
	value []byte
}

// pairs gives the members of a JSON object, none of anything else. They are cut
// out, not copied, and only escapes of a name are undone: of most events but one
// string is needed, and that as it is escaped. What is not valid JSON gives some
// pairs or none.
func pairs(object []byte) iter.Seq[pair] {
	return func(yield func(pair) bool) {
		rest := behind('{', object)
		for {
			var p pair
			p.key, rest = cut(rest)
			p.value, rest = cut(rest)
			if len(p.value) == 0 || p.key[0] != '"' {
				return
			}
			if p.name = meaning(p.key); !yield(p) {
				return
			}
		}
	}
}

// items gives the items of a JSON array, as pairs does the members of an object.
func items(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		item, rest := cut(behind('[', array))
		for len(item) > 0 && yield(item) {
			item, rest = cut(rest)
		}
	}
}

// valueOf gives the value of the first member of a name, nil if there is none.
func valueOf(object []byte, name string) []byte {
	for p := range pairs(object) {
		if string(p.name) == name {
			return p.value
		}
	}
	return nil
}

// member is valueOf for those who want more than its text.
func member(object []byte, name string) gjson.Result { return gjson.ParseBytes(valueOf(object, name)) }

// meaning gives the contents of a JSON string with its escapes undone, nil of
// anything else. It copies only what has escapes.
func meaning(raw []byte) []byte {
	if len(raw) < len(`""`) || raw[0] != '"' {
		return nil
	}
	if bytes.IndexByte(raw, '\\') >= 0 {
		return []byte(gjson.ParseBytes(raw).Str)
	}
	return inner(raw)
}

// inner gives the contents of a JSON string, escaped as they are.
func inner(raw []byte) []byte { return raw[1 : len(raw)-1] }

// behind gives what follows the bracket that text begins with, nothing if it
// begins with something else.
func behind(bracket byte, text []byte) []byte {
	if firstByte(text) != bracket {
		return nil
	}
	return text[bytes.IndexByte(text, bracket)+1:]
}

// cut cuts the next value off the inside of an array or an object; there is none
// at its end.
func cut(inside []byte) (value, rest []byte) {
	start := 0
	for start < len(inside) && (inside[start] <= ' ' || inside[start] == ',' || inside[start] == ':') {
		start++
	}
	end := start + extent(inside[start:])
	return inside[start:end], inside[end:]
}

// extent is the length of the value at the front of text.
func extent(text []byte) int {
	if len(text) == 0 {
		return 0
	}
	switch text[0] {
	case '"':
		return extentOfString(text)
	case '{', '[':
		return extentOfNest(text)
	}
	n := 0
	for n < len(text) && text[n] > ' ' && text[n] != ',' && text[n] != '}' && text[n] != ']' {
		n++
	}
	return n
}

func extentOfString(text []byte) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

func extentOfNest(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i += extentOfString(text[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(text)
}

// openValue finds the end of an object or an array that comes in pieces.
type openValue struct {
	depth             int
	inString, escaped bool
}

// read gives how many bytes of the next piece belong to the value, and whether it is
// over with them.
func (v *openValue) read(piece []byte) (n int, over bool) {
	for i, b := range piece {
		switch {
		case v.escaped:
			v.escaped = false
		case v.inString:
			v.escaped, v.inString = b == '\\', b != '"'
		case b == '"':
			v.inString = true
		case b == '{', b == '[':
			v.depth++
		case b == '}', b == ']':
			if v.depth--; v.depth == 0 {
				return i + 1, true
			}
		}
	}
	return len(piece), false
}
