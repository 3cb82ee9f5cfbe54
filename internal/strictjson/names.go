package strictjson

import (
	"bytes"
	"fmt"
	"hash/maphash"
)

// A nameSet finds duplicate names in an object. It holds the names of all open objects, the
// innermost object's last, and reuses its memory. It takes time linear in the length of the
// names.
type nameSet struct {
	names   []hashedName
	table   []int32 // of one object's names: 1 + the index of each, 0 is none
	plain   []byte  // one name without its escapes
	another []byte
}

// A hashedName is text[from:to]; it is kept short, since there may be a million.
type hashedName struct{ from, to, hash uint32 }

// fewNames is the largest number of names that are compared pairwise.
const fewNames = 8

var nameSeed = maphash.MakeSeed()

// open begins an object: its names are those from first on.
func (n *nameSet) open() (first int) { return len(n.names) }

// add adds a name of the object whose names begin at first.
func (n *nameSet) add(text []byte, first int, name span) error {
	if len(n.names)-first == maxNames {
		return &Error{Message: fmt.Sprintf("has an object of more than %d names; an object may have at most %d", maxNames, maxNames)}
	}
	if n.names == nil {
		n.names = make([]hashedName, 0, usualMembers)
	}
	plain := text[name.from:name.to]
	if bytes.IndexByte(plain, '\\') >= 0 {
		n.plain = appendUnquoted(n.plain[:0], plain)
		plain = n.plain
	}
	n.names = append(n.names, hashedName{uint32(name.from), uint32(name.to), uint32(maphash.Bytes(nameSeed, plain))})
	return nil
}

// close ends the object whose names begin at first.
func (n *nameSet) close(text []byte, first int) error {
	names := n.names[first:]
	n.names = n.names[:first]
	if len(names) <= fewNames {
		for i := range names {
			for j := range i {
				if n.same(text, names[i], names[j]) {
					return twice(text, names[i])
				}
			}
		}
		return nil
	}
	return n.distinct(text, names)
}

// distinct compares many names using a table of their hashes.
func (n *nameSet) distinct(text []byte, names []hashedName) error {
	size := 4 * fewNames
	for size < 2*len(names) {
		size *= 2
	}
	if cap(n.table) < size {
		n.table = make([]int32, size)
	}
	table := n.table[:size]
	clear(table)
	for i, name := range names {
		at := int(name.hash) & (size - 1)
		for ; table[at] != 0; at = (at + 1) & (size - 1) {
			if n.same(text, name, names[table[at]-1]) {
				return twice(text, name)
			}
		}
		table[at] = int32(i + 1)
	}
	return nil
}

// same compares two names, which are nearly always different.
func (n *nameSet) same(text []byte, a, b hashedName) bool {
	if a.hash != b.hash {
		return false
	}
	n.plain = appendUnquoted(n.plain[:0], text[a.from:a.to])
	n.another = appendUnquoted(n.another[:0], text[b.from:b.to])
	return bytes.Equal(n.plain, n.another)
}

func twice(text []byte, name hashedName) error {
	return Within(Unescape(text[name.from:name.to]), &Error{Message: "is given twice in one object; give it once"})
}
