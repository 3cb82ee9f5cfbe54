package provider

import (
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

// sentWhole are the strings of a message that come at once. Some servers repeat
// them in each piece.
var sentWhole = []string{"format", "id", "name", "role", "type"}

// add adds a piece of the value of a name. Strings are joined within a message
// only. null is no news, nor is an empty string that does not join.
func (p *pieces) add(v *grown, name string, piece gjson.Result, message bool) error {
	kind := firstByte([]byte(piece.Raw))
	joins := message && !slices.Contains(sentWhole, name)
	switch {
	case kind == 'n' && v.kind != 0, kind == '"' && !joins && v.kind != 0 && piece.Str == "":
		return nil
	case kind == '"' && v.kind == '"' && joins:
		v.raw = append(v.raw, inner([]byte(piece.Raw))...)
		p.held += len(piece.Raw)
		return nil
	case kind == '{' && v.kind == '{':
		return p.merge(v, piece, message)
	case kind == '[' && v.kind == '[':
		return p.extend(v, name, piece, message)
	case joins && kind == '"' && v.kind == '[':
		return p.loose(v, textPart(piece.Raw[1:len(piece.Raw)-1]))
	case joins && kind == '[' && v.kind == '"':
		begun := string(v.raw[1:])
		*v = grown{kind: '['}
		if begun != "" {
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
func textPart(inner string) string { return `{"type":"text","text":"` + inner + `"}` }

// set has a value begin anew.
func (p *pieces) set(v *grown, name string, piece gjson.Result, message bool) error {
	raw := []byte(piece.Raw)
	p.held += len(raw) - len(v.raw)
	*v = grown{kind: firstByte(raw), raw: raw}
	switch v.kind {
	case '"':
		v.raw = raw[:len(raw)-1]
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
func (p *pieces) merge(v *grown, piece gjson.Result, message bool) (err error) {
	if v.members == nil {
		begun := gjson.ParseBytes(v.raw)
		p.held -= len(v.raw)
		v.raw, v.members = nil, new(grownObject)
		if err := p.merge(v, begun, message); err != nil {
			return err
		}
	}
	piece.ForEach(func(key, value gjson.Result) bool {
		err = p.addMember(v.members, key.Str, value, message)
		return err == nil
	})
	return err
}

func (p *pieces) addMember(o *grownObject, name string, value gjson.Result, message bool) error {
	v, err := p.member(o, name)
	if err != nil {
		return err
	}
	return p.add(v, name, value, message)
}

// member gives a member of an object, a new one if need be.
func (p *pieces) member(o *grownObject, name string) (*grown, error) {
	if v := o.get(name); v != nil {
		return v, nil
	}
	if err := p.part(); err != nil {
		return nil, err
	}
	if o.at == nil {
		o.at = make(map[string]int)
	}
	o.at[name] = len(o.names)
	v := new(grown)
	o.names, o.values = append(o.names, name), append(o.values, v)
	p.held += len(name)
	return v, nil
}

// extend adds the items of a list to a list.
func (p *pieces) extend(v *grown, name string, piece gjson.Result, message bool) (err error) {
	piece.ForEach(func(_, item gjson.Result) bool {
		if index := item.Get("index"); item.IsObject() && index.Type == gjson.Number {
			err = p.addItem(v, name, item, message)
		} else {
			err = p.loose(v, item.Raw)
		}
		return err == nil
	})
	return err
}

// addItem adds a piece of an item that tells its index. Some servers give all
// items the same one: what has another id is another item. The index of a tool
// call is of the stream alone.
func (p *pieces) addItem(v *grown, name string, piece gjson.Result, message bool) error {
	index, id := piece.Get("index").Int(), piece.Get("id").Str
	if name == "tool_calls" {
		piece = gjson.ParseBytes(without([]byte(piece.Raw), "index"))
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
func (p *pieces) loose(v *grown, raw string) error {
	last := len(v.items) - 1
	if last < 0 || v.items[last].index != noIndex {
		if err := p.part(); err != nil {
			return err
		}
		v.items = append(v.items, &grownItem{index: noIndex, value: grown{raw: []byte(raw)}})
	} else {
		run := &v.items[last].value
		run.raw = append(append(run.raw, ','), raw...)
	}
	p.held += len(raw) + 1
	return nil
}

// is says whether the value is what it would be by this piece alone.
func (v *grown) is(raw string) bool {
	if v.kind == '"' {
		return len(raw) == len(v.raw)+1 && raw[:len(v.raw)] == string(v.raw)
	}
	return string(v.raw) == raw
}

// get gives a member, nil if there is none.
func (o *grownObject) get(name string) *grown {
	if i, ok := o.at[name]; ok {
		return o.values[i]
	}
	return nil
}

// result gives a member as it is by now.
func (o *grownObject) result(name string) gjson.Result {
	if v := o.get(name); v != nil {
		return gjson.ParseBytes(v.appendTo(nil))
	}
	return gjson.Result{}
}

// appendTo appends the object as it is by now, less the members that have not
// come.
func (o *grownObject) appendTo(dst []byte) []byte {
	dst = append(dst, '{')
	first := len(dst)
	for i, v := range o.values {
		if v.kind == 0 {
			continue
		}
		if len(dst) > first {
			dst = append(dst, ',')
		}
		dst = append(append(dst, quote(o.names[i])...), ':')
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
