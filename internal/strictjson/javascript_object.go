package strictjson

import (
	"bytes"
	"cmp"
	"slices"
)

// javaScriptMember is where a member of an object is in the output: its name, with quotes,
// at start:name, and its value after the colon, at name+1:end.
type javaScriptMember struct{ start, name, end int }

// usualEventMembers has room for the members of an event.
const usualEventMembers = 32

// manyMembers is the size from which an object's names are sorted to be compared; below it
// comparing all pairs is faster.
const manyMembers = 24

func (c *javaScript) object() error {
	c.space()
	if c.at('}') {
		c.token()
		return nil
	}
	first := len(c.members)
	start := c.size()
	for {
		if err := c.member(); err != nil {
			return err
		}
		c.space()
		switch {
		case c.at(','):
			c.token()
		case c.at('}'):
			c.mergeTwins(start, c.members[first:])
			c.members = c.members[:first]
			c.token()
			return nil
		default:
			return c.unexpected()
		}
	}
}

func (c *javaScript) member() error {
	m := javaScriptMember{start: c.size()}
	c.space()
	if !c.at('"') {
		return c.unexpected()
	}
	if err := c.quoted(); err != nil {
		return err
	}
	m.name = c.size()
	c.space()
	if !c.at(':') {
		return c.unexpected()
	}
	c.token()
	c.space()
	if err := c.value(); err != nil {
		return err
	}
	m.end = c.size()
	c.members = append(c.members, m)
	return nil
}

// mergeTwins gives the first of several members with one name the value of the last, and
// drops the others. The members fill the output from start to its end.
func (c *javaScript) mergeTwins(start int, members []javaScriptMember) {
	last := c.twins(members) // for each member, the one whose value it takes; -1 for a later twin
	if last == nil {
		return
	}
	c.change()
	old := bytes.Clone(c.out[start:])
	c.out = c.out[:start]
	for i, m := range members {
		if last[i] < 0 {
			continue
		}
		if len(c.out) > start {
			c.out = append(c.out, ',')
		}
		v := members[last[i]]
		c.out = append(c.out, old[m.start-start:m.name-start]...)
		c.out = append(c.out, old[v.name-start:v.end-start]...) // including the colon
	}
}

// twins returns nil if all names differ, as they nearly always do.
func (c *javaScript) twins(members []javaScriptMember) []int {
	if len(members) >= manyMembers {
		return c.twinsAmongMany(members)
	}
	var last []int
	for i := range members {
		for j := range i {
			if bytes.Equal(c.name(members[j]), c.name(members[i])) {
				last = twin(last, len(members), j, i)
				break
			}
		}
	}
	return last
}

func (c *javaScript) twinsAmongMany(members []javaScriptMember) []int {
	byName := make([]int, len(members))
	for i := range byName {
		byName[i] = i
	}
	slices.SortFunc(byName, func(i, j int) int {
		return cmp.Or(bytes.Compare(c.name(members[i]), c.name(members[j])), i-j)
	})
	var last []int
	first := byName[0]
	for _, i := range byName[1:] {
		if bytes.Equal(c.name(members[first]), c.name(members[i])) {
			last = twin(last, len(members), first, i)
		} else {
			first = i
		}
	}
	return last
}

// twin notes that member j takes the value of its later twin i.
func twin(last []int, members, j, i int) []int {
	if last == nil {
		last = make([]int, members)
		for k := range last {
			last[k] = k
		}
	}
	last[j], last[i] = i, -1
	return last
}

func (c *javaScript) name(m javaScriptMember) []byte { return c.bytes()[m.start:m.name] }
