package strictjson

import (
	"bytes"
	"cmp"
	"io"
	"slices"
)

// WriteCanonical writes the one form that all spellings of a JSON object share: no space,
// members sorted by name, no needless escapes, no null at the top level, where it means
// absence, and one spelling of each number. The text must be valid.
//
// Idempotency compares this form. WriteCanonical takes little memory beyond the text, and
// linear time: it sorts a large object by its members' positions in the text, and only a
// small one by what it has written.
func WriteCanonical(out io.Writer, text []byte) {
	if len(bytes.TrimSpace(text)) == 0 {
		return
	}
	c := canonical{out: out, text: text}
	c.measure()
	at := Value(text).skipSpace(0)
	c.value(at, at+c.sizeOf(at), 1)
	c.flush()
}

const (
	// largeValue is the size from which a value is written in pieces.
	largeValue = 8 << 10
	// canonicalPiece is roughly how much is written at once.
	canonicalPiece = 8 << 10
)

type canonical struct {
	out    io.Writer
	buffer []byte // not written yet
	text   []byte
	// large are the objects and arrays of largeValue and more, in the order in which they
	// begin: they are skipped, not walked again for each one around them.
	large []place
}

// place is text[from:to]; a body may be large, but not that large.
type place struct{ from, to int32 }

// measure finds the large objects and arrays. Those in a small one are smaller.
func (c *canonical) measure() {
	if len(c.text) < largeValue {
		return
	}
	var open []int // the places of those that are open
	for at := 0; at < len(c.text); at++ {
		switch c.text[at] {
		case '"':
			at += StringLen(c.text[at:]) - 1
		case '{', '[':
			open = append(open, len(c.large))
			c.large = append(c.large, place{from: int32(at)})
		case '}', ']':
			last := open[len(open)-1]
			open = open[:len(open)-1]
			if at-int(c.large[last].from) < largeValue {
				c.large = c.large[:last]
			} else {
				c.large[last].to = int32(at + 1)
			}
		}
	}
}

// sizeOf returns the length of the value that begins at at.
func (c *canonical) sizeOf(at int) int {
	if b := c.text[at]; b == '{' || b == '[' {
		i, found := slices.BinarySearchFunc(c.large, at, func(p place, at int) int { return cmp.Compare(int(p.from), at) })
		if found {
			return int(c.large[i].to) - at
		}
	}
	return valueLen(c.text[at:])
}

// value writes text[from:to]. It leaves out null members of objects at the depth top; 0
// means none.
func (c *canonical) value(from, to, top int) {
	switch text := c.text[from:to]; {
	case len(text) < largeValue || text[0] != '{' && text[0] != '[' && text[0] != '"':
		small := ordered{scanner: scanner{text: text}, top: top, out: c.buffer}
		small.value()
		c.buffer = small.out
		c.flushFull()
	case text[0] == '{':
		c.object(from, top)
	case text[0] == '[':
		c.array(from)
	default:
		c.string(text[1 : len(text)-1])
	}
}

func (c *canonical) array(from int) {
	text := Value(c.text)
	c.buffer = append(c.buffer, '[')
	for i, at := 0, text.inside(from); text[at] != ']'; i++ {
		if i > 0 {
			c.buffer = append(c.buffer, ',')
		}
		end := at + c.sizeOf(at)
		c.value(at, end, 0)
		at = text.next(end)
	}
	c.buffer = append(c.buffer, ']')
}

// found is a member of a large object: its canonical name, in names, and where its value
// begins.
type found struct {
	name  place
	value int32
}

func (c *canonical) object(from, top int) {
	members, names := c.members(from, top == 1)
	slices.SortFunc(members, func(a, b found) int {
		return bytes.Compare(names[a.name.from:a.name.to], names[b.name.from:b.name.to])
	})
	c.buffer = append(c.buffer, '{')
	for i, m := range members {
		if i > 0 {
			c.buffer = append(c.buffer, ',')
		}
		c.write(names[m.name.from:m.name.to])
		c.buffer = append(c.buffer, ':')
		c.value(int(m.value), int(m.value)+c.sizeOf(int(m.value)), 0)
	}
	c.buffer = append(c.buffer, '}')
}

// members finds the members of an object; nulls only if they do not mean absence.
func (c *canonical) members(from int, nullIsAbsence bool) (members []found, names []byte) {
	text := Value(c.text)
	for at := text.inside(from); text[at] != '}'; {
		end := at + StringLen(text[at:])
		begin := text.skipSpace(text.skipSpace(end) + 1) // after the colon
		if text[begin] != 'n' || !nullIsAbsence {
			m := found{name: place{from: int32(len(names))}, value: int32(begin)}
			name := ordered{scanner: scanner{text: text[at:end]}, out: names}
			name.string()
			names = name.out
			m.name.to = int32(len(names))
			members = append(members, m)
		}
		at = text.next(begin + c.sizeOf(begin))
	}
	return members, names
}

// string writes a string, given the text between its quotes.
func (c *canonical) string(quoted []byte) {
	c.buffer = append(c.buffer, '"')
	for plain, r := range plainPieces(quoted) {
		c.write(plain)
		c.buffer = appendRune(c.buffer, r)
	}
	c.buffer = append(c.buffer, '"')
}

// write writes text, which may be large.
func (c *canonical) write(text []byte) {
	if len(text) >= canonicalPiece {
		c.flush()
		_, _ = c.out.Write(text) // a hash or a buffer, which accept everything
		return
	}
	c.buffer = append(c.buffer, text...)
	c.flushFull()
}

func (c *canonical) flushFull() {
	if len(c.buffer) >= canonicalPiece {
		c.flush()
	}
}

func (c *canonical) flush() {
	_, _ = c.out.Write(c.buffer)
	c.buffer = c.buffer[:0]
}
