package protocol

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/tidwall/gjson"

	"github.com/ringback/ringback/internal/strictjson"
)

// pieces assembles JSON values from the pieces in a stream. What the pieces of a value mean
// depends on their kind, as in the maker's own libraries: strings are joined, lists
// appended to, objects merged member by member; anything else replaces the previous value.
// So members that are not known yet are kept too.
type pieces struct {
	held  int // bytes
	parts int // values that are kept separately
}

// maxParts bounds the values that are kept separately, since each costs more than its
// bytes. It is more than any answer has.
const maxParts = 20_000

// maxItems bounds the items of a list that pieces are added to, tool calls for example:
// each piece is compared with all of them. It is more than any answer has.
const maxItems = 2000

var errTooManyParts = errors.New("the answer has too many parts")

// grown is a value that pieces are added to. An object stays unparsed as long as there is
// only one piece of it.
type grown struct {
	kind    byte   // the first byte of the value; 0: nothing has arrived
	raw     []byte // the value, of a string without its closing quote; nil: see below
	members *grownObject
	items   []*grownItem // of a list
}

// grownObject is an object whose members grow, in the order in which they arrived.
type grownObject struct {
	names  []string
	values []*grown
	at     map[string]int
}

// grownItem is an item of a list that has an index, or a run of others.
type grownItem struct {
	index   int64 // noIndex: value.raw are items, joined by commas
	grew    bool  // something has arrived since it was emitted
	id      string
	value   grown
	emitted int        // bytes: of a run, or of the string of an item that is emitted
	parts   int        // how many of a run have been emitted
	call    *grownCall // of a tool call
}

const noIndex = -1

// sentWhole reports whether a string of a message arrives at once. Some servers repeat it
// in each piece.
func sentWhole(name []byte) bool {
	switch string(name) {
	case "format", "id", "name", "role", "type":
		return true
	}
	return false
}

// keepsKind reports whether a value of a message is emitted as it grows, so that no piece
// of another kind may replace it. Text may become a list that contains it.
func keepsKind(name []byte, kind byte) bool {
	switch string(name) {
	case "arguments", "function", "text", "thinking", "tool_calls":
		return true
	case "content", "reasoning", "reasoning_content":
		return kind != '"' && kind != '['
	}
	return false
}

// add adds a piece of the named value. Strings are joined only within a message. null
// changes nothing, nor does an empty string that is not joined.
func (p *pieces) add(v *grown, name, piece []byte, message bool) error {
	kind := strictjson.FirstByte(piece)
	joins := message && !sentWhole(name)
	switch {
	case kind == 'n' && v.kind != 0, kind == '"' && !joins && v.kind != 0 && len(piece) == len(`""`):
		return nil
	case message && kind != v.kind && !v.empty() && keepsKind(name, kind):
		return fmt.Errorf("a piece of %s differs in kind from those before it", name)
	case message && string(name) == "type" && v.kind == '"' && !v.empty():
		return nil // it arrives once, or is repeated
	case kind == '"' && v.kind == '"' && joins:
		v.raw = append(v.raw, strictjson.Inside(piece)...)
		p.held += len(piece)
		return nil
	case kind == '{' && v.kind == '{':
		return p.merge(v, piece, message)
	case kind == '[' && v.kind == '[':
		return p.extend(v, name, piece, message)
	case joins && kind == '"' && v.kind == '[':
		return p.appendItem(v, textPart(strictjson.Inside(piece)))
	case joins && kind == '[' && v.kind == '"':
		list := grown{kind: '['}
		if begun := v.contents(); len(begun) > 0 {
			if err := p.appendItem(&list, textPart(begun)); err != nil {
				return err
			}
		}
		*v = list
		return p.extend(v, name, piece, message)
	}
	return p.set(v, name, piece, message)
}

// textPart returns a text as one of a message's parts: some servers send thoughts as parts,
// and the text that follows as strings.
func textPart(inner []byte) []byte {
	return slices.Concat([]byte(`{"type":"text","text":"`), inner, []byte(`"}`))
}

// set starts a value anew.
func (p *pieces) set(v *grown, name, piece []byte, message bool) error {
	p.held += len(piece) - len(v.raw)
	*v = grown{kind: strictjson.FirstByte(piece), raw: append(v.raw[:0], piece...)} // usually there is room
	switch v.kind {
	case '"':
		v.raw = v.raw[:len(v.raw)-1]
	case '[':
		v.raw = nil
		return p.extend(v, name, piece, message)
	}
	return nil
}

// part counts a value that is kept separately.
func (p *pieces) part() error {
	if p.parts++; p.parts > maxParts {
		return errTooManyParts
	}
	return nil
}

// merge adds an object to an object.
func (p *pieces) merge(v *grown, piece []byte, message bool) error {
	if v.members == nil {
		begun := new(grownObject)
		if err := p.addMembers(begun, v.raw, message); err != nil {
			return err
		}
		p.held -= len(v.raw)
		v.raw, v.members = nil, begun
	}
	return p.addMembers(v.members, piece, message)
}

func (p *pieces) addMembers(o *grownObject, piece []byte, message bool) error {
	for member := range strictjson.Members(piece) {
		if err := p.addMember(o, member, message); err != nil {
			return err
		}
	}
	return nil
}

func (p *pieces) addMember(o *grownObject, member strictjson.Member, message bool) error {
	v, err := p.member(o, member.Name)
	if err != nil {
		return err
	}
	return p.add(v, member.Name, member.Value, message)
}

// member returns a member of an object, adding it if necessary.
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
	for item := range strictjson.Elements(piece) {
		if index := strictjson.Get(item, "index"); string(name) == "tool_calls" {
			err = p.addCall(v, item)
		} else if index.Type == gjson.Number && index.Int() >= 0 {
			err = p.addItem(v, name, item, message)
		} else {
			err = p.appendItem(v, item)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addItem adds a piece of an item that has an index. Some servers give all items the same
// index: an item with another id is another item.
func (p *pieces) addItem(v *grown, name, piece []byte, message bool) error {
	index, id := strictjson.Get(piece, "index").Int(), strictjson.Get(piece, "id").Str
	for _, item := range slices.Backward(v.items) {
		if item.index == index && (id == "" || item.id == "" || item.id == id) {
			item.id, item.grew = cmp.Or(item.id, id), true
			return p.add(&item.value, name, piece, message)
		}
	}
	if len(v.items) >= maxItems {
		return errTooManyParts
	}
	if err := p.part(); err != nil {
		return err
	}
	item := &grownItem{index: index, id: id, grew: true}
	v.items = append(v.items, item)
	return p.set(&item.value, name, piece, message)
}

// appendItem appends an item unchanged.
func (p *pieces) appendItem(v *grown, raw []byte) error {
	last := len(v.items) - 1
	if last < 0 || v.items[last].index != noIndex {
		if err := p.part(); err != nil {
			return err
		}
		v.items = append(v.items, &grownItem{index: noIndex, grew: true, value: grown{raw: bytes.Clone(raw)}})
	} else {
		v.items[last].grew = true
		run := &v.items[last].value
		run.raw = append(append(run.raw, ','), raw...)
	}
	p.held += len(raw) + 1
	return nil
}

// is reports whether the value equals what this piece alone would make it.
func (v *grown) is(raw []byte) bool {
	if v.kind == '"' {
		return len(raw) == len(v.raw)+1 && bytes.HasPrefix(raw, v.raw)
	}
	return bytes.Equal(v.raw, raw)
}

// empty reports whether the value has only its form so far.
func (v *grown) empty() bool {
	switch v.kind {
	case '"':
		return len(v.contents()) == 0
	case '[':
		return len(v.items) == 0
	case '{':
		return v.members == nil && len(strictjson.Fields(v.raw)) == 0
	}
	return v.kind == 0 || v.kind == 'n'
}

// contents returns the present contents of a string, in escaped form; nil for anything
// else.
func (v *grown) contents() []byte {
	if v.kind != '"' {
		return nil
	}
	return v.raw[len(`"`):]
}

// member returns the present value of a member of an object, an empty one if there is none.
func (v *grown) member(name string) *grown {
	if v.members != nil {
		return v.members.member(name)
	}
	raw := strictjson.ValueOf(v.raw, name)
	value := &grown{kind: strictjson.FirstByte(raw), raw: raw}
	switch value.kind {
	case '"':
		value.raw = raw[:len(raw)-1]
	case '[':
		value = &grown{kind: '[', items: []*grownItem{{index: noIndex, grew: true, value: grown{raw: strictjson.Inside(raw)}}}}
	}
	return value
}

func (o *grownObject) member(name string) *grown {
	if i, ok := o.at[name]; ok {
		return o.values[i]
	}
	return new(grown)
}

// lacks returns the members of an object that have not arrived yet.
func (v *grown) lacks(object []byte) []byte {
	lacking := []byte{'{'}
	for p := range strictjson.Members(object) {
		if v.member(string(p.Name)).empty() {
			lacking = strictjson.AppendMember(lacking, p.Key, p.Value)
		}
	}
	return append(lacking, '}')
}

// part is one part of a list, as it is emitted.
type part struct {
	value   *grown
	item    int // its place among the items that are kept separately
	place   int // in the list
	emitted *int
}

// emitParts goes through the parts of a list that may not have been emitted completely.
// Those of a run arrived whole.
func (v *grown) emitParts(t Emitter, emit func(t Emitter, p part)) {
	place := 0
	for i, item := range v.items {
		if item.index != noIndex {
			if item.grew || t.Ended {
				emit(t, part{value: &item.value, item: i, place: place, emitted: &item.emitted})
				item.grew = false
			}
			place++
			continue
		}
		raw, rest := strictjson.Cut(item.value.raw[item.emitted:])
		for ; len(raw) > 0; raw, rest = strictjson.Cut(rest) {
			came := part{value: &grown{kind: strictjson.FirstByte(raw), raw: raw}, item: i, place: place + item.parts, emitted: new(int)}
			emit(Emitter{To: t.To, Frame: t.Frame, Ended: true}, came)
			item.parts++
		}
		item.emitted = len(item.value.raw)
		place += item.parts
	}
}

// result returns the present value of a member.
func (o *grownObject) result(name string) gjson.Result {
	if i, ok := o.at[name]; ok {
		return gjson.ParseBytes(o.values[i].appendTo(nil))
	}
	return gjson.Result{}
}

// appendTo appends the present object, without the members that have not arrived.
func (o *grownObject) appendTo(dst []byte) []byte {
	dst = append(dst, '{')
	for i, v := range o.values {
		if v.kind == 0 {
			continue
		}
		dst = append(strictjson.AppendQuoted(strictjson.AppendComma(dst), o.names[i]), ':')
		dst = v.appendTo(dst)
	}
	return append(dst, '}')
}

// appendTo appends the present value.
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
