package strictjson

import (
	"bytes"
	"iter"

	"github.com/tidwall/gjson"
)

// A Member is a member of a JSON object, cut out of its text.
type Member struct {
	Key   []byte // with its quotes and escapes
	Name  []byte // the unescaped key
	Value []byte
}

// Members returns the members of a JSON object, and none of anything else. They are cut
// out, not copied, and only names are unescaped: most events are read for one string, in
// its escaped form. Invalid JSON has some members or none.
func Members(object []byte) iter.Seq[Member] {
	return func(yield func(Member) bool) {
		rest := After('{', object)
		for {
			var p Member
			p.Key, rest = Cut(rest)
			p.Value, rest = Cut(rest)
			if len(p.Value) == 0 || p.Key[0] != '"' {
				return
			}
			if p.Name = String(p.Key); !yield(p) {
				return
			}
		}
	}
}

// Elements returns the items of a JSON array, as Members returns the members of an object.
func Elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		item, rest := Cut(After('[', array))
		for len(item) > 0 && yield(item) {
			item, rest = Cut(rest)
		}
	}
}

// ValueOf returns the value of the first member with a name, nil if there is none.
func ValueOf(object []byte, name string) []byte {
	for p := range Members(object) {
		if string(p.Name) == name {
			return p.Value
		}
	}
	return nil
}

// Get is ValueOf for callers that want more than its text.
func Get(object []byte, name string) gjson.Result { return gjson.ParseBytes(ValueOf(object, name)) }

// String returns the text of a JSON string, nil for anything else. It copies only if there
// are escapes.
func String(raw []byte) []byte {
	if len(raw) < len(`""`) || raw[0] != '"' {
		return nil
	}
	if bytes.IndexByte(raw, '\\') >= 0 {
		return []byte(Unescape(Inside(raw)))
	}
	return Inside(raw)
}

// Inside returns the contents of a JSON string, still escaped, or the text between an
// array's brackets.
func Inside(raw []byte) []byte { return raw[1 : len(raw)-1] }

// After returns what follows the bracket at the beginning of text, nil if it begins with
// something else.
func After(bracket byte, text []byte) []byte {
	if FirstByte(text) != bracket {
		return nil
	}
	return text[bytes.IndexByte(text, bracket)+1:]
}

// Cut cuts the next value off the inside of an array or an object; there is none
// at its end.
func Cut(inside []byte) (value, rest []byte) {
	start := 0
	for start < len(inside) && (inside[start] <= ' ' || inside[start] == ',' || inside[start] == ':') {
		start++
	}
	end := start + valueLen(inside[start:])
	return inside[start:end], inside[end:]
}

// valueLen returns the length of the value at the front of text.
func valueLen(text []byte) int {
	if len(text) == 0 {
		return 0
	}
	switch text[0] {
	case '"':
		return StringLen(text)
	case '{', '[':
		return nestLen(text)
	}
	n := 0
	for n < len(text) && text[n] > ' ' && text[n] != ',' && text[n] != '}' && text[n] != ']' {
		n++
	}
	return n
}

// StringLen returns the length of the string at the front of text, with its quotes. If it
// is cut off, that is the length of text.
func StringLen(text []byte) int {
	for at := 1; at < len(text); at++ {
		at += plainPrefix(text[at:])
		switch {
		case at >= len(text):
		case text[at] == '"':
			return at + 1
		case text[at] == '\\':
			at++ // an escape; what follows \u is plain
		}
	}
	return len(text)
}

func nestLen(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i += StringLen(text[i:]) - 1
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

// EndFinder finds the end of an object or an array that arrives in pieces.
type EndFinder struct {
	depth             int
	inString, escaped bool
}

// Read returns how many bytes of the next piece belong to the value, and whether it ends
// there.
func (v *EndFinder) Read(piece []byte) (n int, over bool) {
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
