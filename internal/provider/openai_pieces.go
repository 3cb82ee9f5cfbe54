package provider

import (
	"bytes"
	"cmp"
	"errors"
	"slices"

	"github.com/tidwall/gjson"
)

// pieces puts JSON values together of what a stream sends of them. What the
// pieces of a value mean depends on what they are, as in the maker's own
// libraries: strings are joined, lists appended to, objects merged member by
// member; anything else takes the place of what was there. So what is not known
// yet is kept too.
type pieces struct {
	held  int // bytes
	parts int // values that are kept apart
}

// maxParts bounds the values that are kept apart, each of which costs more than
// its bytes: more than any answer has.
const maxParts = 20_000

// grown is a value that pieces are added to. An object stays as it came for as
// long as there is but one piece of it.
type grown struct {
	kind    byte   // the first byte of the value; 0: nothing has come
	raw     []byte // the value, of a string without its closing quote; nil: see below
	members *grownObject
	items   []*grownItem // of a list
}

// grownObject is an object whose members grow, in the order in which they came.
type grownObject struct {
	names  []string
	values []*grown
	at     map[string]int
}

// grownItem is an item of a list that tells its index, or a run of others.
type grownItem struct {
	index int64 // noIndex: value.raw are items, joined by commas
	id    string
	value grown
}

const noIndex = -1

// sentWhole says whether a string of a message comes at once. Some servers repeat
// it in each piece.
func sentWhole(name []byte) bool {
	switch string(name) {
	case "format", "id", "name", "role", "type":
		return true
	}
	return false
}

// add adds a piece of the value of a name. Strings are joined within a message
// only. null is no news, nor is an empty string that does not join.
func (p *pieces) add(v *grown, name, piece []byte, message bool) error {
	kind := firstByte(piece)
	joins := message && !sentWhole(name)
	switch {
	case kind == 'n' && v.kind != 0, kind == '"' && !joins && v.kind != 0 && len(piece) == len(`""`):
		return nil
	case kind == '"' && v.kind == '"' && joins:
		v.raw = append(v.raw, inner(piece)...)
		p.held += len(piece)
		return nil
	case kind == '{' && v.kind == '{':
		return p.merge(v, piece, message)
	case kind == '[' && v.kind == '[':
		return p.extend(v, name, piece, message)
	case joins && kind == '"' && v.kind == '[':
		return p.loose(v, textPart(inner(piece)))
	case joins && kind == '[' && v.kind == '"':
		begun := v.raw[1:]
		*v = grown{kind: '['}
		if len(begun) > 0 {
			if err := p.loose(v, textPart(begun)); err != nil {
				return err
			}
		}
		return p.extend(v, name, piece, message)
	}
	return p.set(v, name, piece, message)
}

// textPart is a text among the parts of a message: some servers send thoughts as
// parts, and the text that follows as strings.
func textPart(inner []byte) []byte {
	return slices.Concat([]byte(`{"type":"text","text":"`), inner, []byte(`"}`))
}

// set has a value begin anew.
func (p *pieces) set(v *grown, name, piece []byte, message bool) error {
	p.held += len(piece) - len(v.raw)
	*v = grown{kind: firstByte(piece), raw: append(v.raw[:0], piece...)} // mostly there is room
	switch v.kind {
	case '"':
		v.raw = v.raw[:len(v.raw)-1]
	case '[':
		v.raw = nil
		return p.extend(v, name, piece, message)
	}
	return nil
}

// part counts a value that is kept apart.
func (p *pieces) part() error {
	if p.parts++; p.parts > maxParts {
		return errors.New("the answer is of too many parts")
	}
	return nil
}

// merge adds an object to an object.
func (p *pieces) merge(v *grown, piece []byte, message bool) error {
	if v.members == nil {
		begun := v.raw
		p.held -= len(v.raw)
		v.raw, v.members = nil, new(grownObject)
		if err := p.merge(v, begun, message); err != nil {
			return err
		}
	}
	for member := range pairs(piece) {
		if err := p.addMember(v.members, member, message); err != nil {
			return err
		}
	}
	return nil
}

func (p *pieces) addMember(o *grownObject, member pair, message bool) error {
	v, err := p.member(o, member.name)
	if err != nil {
		return err
	}
	return p.add(v, member.name, member.value, message)
}

// member gives a member of an object, a new one if need be.
func (p *pieces) member(o *grownObject, name []byte) (*grown, error) {
	if i, ok := o.at[string(name)]; ok {
		return o.values[i], nil
	}
	if err := p.part(); err != nil {
		return nil, err
	}
	if o.at == nil {
		o.at = make(map[string]int)
	}
	news, v := string(name), new(grown)
	o.at[news] = len(o.names)
	o.names, o.values = append(o.names, news), append(o.values, v)
	p.held += len(name)
	return v, nil
}

// extend adds the items of a list to a list.
func (p *pieces) extend(v *grown, name, piece []byte, message bool) (err error) {
	for item := range items(piece) {
		if member(item, "index").Type == gjson.Number {
			err = p.addItem(v, name, item, message)
		} else {
			err = p.loose(v, item)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addItem adds a piece of an item that tells its index. Some servers give all
// items the same one: what has another id is another item. The index of a tool
// call is of the stream alone.
func (p *pieces) addItem(v *grown, name, piece []byte, message bool) error {
	index, id := member(piece, "index").Int(), member(piece, "id").Str
	if string(name) == "tool_calls" {
		piece = without(piece, "index")
	}
	for _, item := range slices.Backward(v.items) {
		if item.index == index && (id == "" || item.id == "" || item.id == id) {
			item.id = cmp.Or(item.id, id)
			return p.add(&item.value, name, piece, message)
		}
	}
	if err := p.part(); err != nil {
		return err
	}
	item := &grownItem{index: index, id: id}
	v.items = append(v.items, item)
	return p.set(&item.value, name, piece, message)
}

// loose appends an item that stays as it came.
func (p *pieces) loose(v *grown, raw []byte) error {
	last := len(v.items) - 1
	if last < 0 || v.items[last].index != noIndex {
		if err := p.part(); err != nil {
			return err
		}
		v.items = append(v.items, &grownItem{index: noIndex, value: grown{raw: bytes.Clone(raw)}})
	} else {
		run := &v.items[last].value
		run.raw = append(append(run.raw, ','), raw...)
	}
	p.held += len(raw) + 1
	return nil
}

// is says whether the value is what it would be by this piece alone.
func (v *grown) is(raw []byte) bool {
	if v.kind == '"' {
		return len(raw) == len(v.raw)+1 && bytes.HasPrefix(raw, v.raw)
	}
	return bytes.Equal(v.raw, raw)
}

// result gives a member as it is by now.
func (o *grownObject) result(name string) gjson.Result {
	if i, ok := o.at[name]; ok {
		return gjson.ParseBytes(o.values[i].appendTo(nil))
	}
	return gjson.Result{}
}

// appendTo appends the object as it is by now, less the members that have not
// come.
func (o *grownObject) appendTo(dst []byte) []byte {
	dst = append(dst, '{')
	for i, v := range o.values {
		if v.kind == 0 {
			continue
		}
		dst = append(appendQuoted(appendComma(dst), o.names[i]), ':')
		dst = v.appendTo(dst)
	}
	return append(dst, '}')
}

// appendTo appends the value as it is by now.
func (v *grown) appendTo(dst []byte) []byte {
	switch {
	case v.members != nil:
		return v.members.appendTo(dst)
	case v.kind == '[':
		dst = append(dst, '[')
		for i, item := range v.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = item.value.appendTo(dst)
		}
		return append(dst, ']')
	case v.kind == '"':
		return append(append(dst, v.raw...), '"')
	}
	return append(dst, v.raw...)
}
