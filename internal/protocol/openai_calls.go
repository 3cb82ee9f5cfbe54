package protocol

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/ringback/ringback/internal/strictjson"
)

// grownCall is what is known of a tool call, used to find the call that a piece continues.
type grownCall struct {
	id, name string
	index    int64 // at its beginning; noIndex if it had none
	turn     int   // the last piece that it got
	input    balance
}

// callPiece is a piece of a tool call. In the protocol each has an index, and the first has
// id and name; servers omit each of these, repeat it, or change it from piece to piece.
type callPiece struct {
	id, name string
	index    int64
	input    []byte // the contents of a JSON string
	isObject bool   // the input arrived as an object
}

func readCall(piece []byte) callPiece {
	p := callPiece{id: strictjson.Get(piece, "id").Str, index: callIndex(strictjson.Get(piece, "index"))}
	function := strictjson.ValueOf(piece, "function")
	p.name = strictjson.Get(function, "name").Str
	input := strictjson.ValueOf(function, "arguments")
	switch strictjson.FirstByte(input) {
	case '"':
		p.input = strictjson.Inside(input)
	case '{':
		p.isObject = true
		var compact bytes.Buffer
		_ = json.Compact(&compact, input) // it is valid
		p.input = strictjson.Inside(strictjson.Quote(compact.String()))
	}
	return p
}

func callIndex(index gjson.Result) int64 {
	if n, err := strconv.ParseInt(index.String(), 10, 64); err == nil && n >= 0 {
		return n
	}
	return noIndex
}

// addCall adds a piece of a tool call. The index only exists in the stream; the id and the
// name are those that came first.
func (p *pieces) addCall(v *grown, piece []byte) error {
	if piece[0] == 'n' {
		return nil
	}
	if piece[0] != '{' {
		return errors.New("a tool call is not a JSON object")
	}
	came := readCall(piece)
	if came.isObject { // the protocol uses a string
		function := strictjson.AppendObject(nil, strictjson.ValueOf(piece, "function"), strictjson.Field{Name: "arguments", Value: slices.Concat([]byte{'"'}, came.input, []byte{'"'})})
		piece = strictjson.AppendObject(nil, piece, strictjson.Field{Name: "function", Value: function})
	}
	piece = strictjson.Without(piece, "index")
	item := callOf(v.items, came)
	if item == nil {
		return p.beginCall(v, piece, came)
	}
	return p.continueCall(item, piece, came, lastTurn(v.items)+1)
}

func (p *pieces) beginCall(v *grown, piece []byte, came callPiece) error {
	if len(v.items) >= maxItems {
		return errTooManyParts
	}
	if err := p.part(); err != nil {
		return err
	}
	item := &grownItem{index: int64(len(v.items)), grew: true, call: &grownCall{id: came.id, name: came.name, index: came.index, turn: lastTurn(v.items) + 1}}
	item.call.input.add(came.input)
	v.items = append(v.items, item)
	return p.set(&item.value, []byte("tool_calls"), piece, true)
}

func (p *pieces) continueCall(item *grownItem, piece []byte, came callPiece, turn int) error {
	call := item.call
	call.turn, item.grew = turn, true
	if call.id != "" {
		piece = strictjson.Without(piece, "id")
	}
	call.id, call.name = cmp.Or(call.id, came.id), cmp.Or(call.name, came.name)
	switch {
	case repeats(item, came):
		return nil
	case came.isObject && call.input.begun:
		return errors.New("a piece of arguments differs in kind from those before it")
	}
	call.input.add(came.input)
	return p.add(&item.value, []byte("tool_calls"), piece, true)
}

func lastTurn(items []*grownItem) (turn int) {
	for _, item := range items {
		turn = max(turn, item.call.turn)
	}
	return turn
}

// callOf finds the call that a piece continues; nil if it begins a new one.
func callOf(items []*grownItem, came callPiece) *grownItem {
	var byID, byIndex, last *grownItem
	for _, item := range items {
		if came.id != "" && item.call.id == came.id {
			byID = item
		}
		if came.index != noIndex && item.call.index == came.index {
			byIndex = item
		}
		if last == nil || item.call.turn > last.call.turn {
			last = item
		}
	}
	for _, item := range []*grownItem{byID, byIndex, last} {
		if item != nil && continues(item, came, item == byID, byIndex) {
			return item
		}
	}
	if on := cmp.Or(byIndex, last); on != nil && on.isNamed() && came.id == "" && came.name == "" && !opensObject(came.input) {
		return on // it does not begin a call but continues one
	}
	return nil
}

// isNamed reports whether the call has what distinguishes it from others.
func (item *grownItem) isNamed() bool { return item.call.id != "" || item.call.name != "" }

// continues reports whether a piece may belong to a call: one with its id or its index, or
// the one that grew last.
func continues(item *grownItem, came callPiece, sameID bool, byIndex *grownItem) bool {
	call := item.call
	switch {
	case !accepts(item, came), came.name != "" && call.name != "" && came.name != call.name:
		return false
	case came.name == "", sameID:
		return true
	case came.id != "" && call.id != "" && came.id != call.id: // an id and a name begin a call
		return call.input.begun && !isBlank(came.input) && !opensObject(came.input)
	case call.name == "": // its name had not arrived before
		return true
	case byIndex == nil && came.index != noIndex: // the name again, under another index
		return call.input.begun && !opensObject(came.input) && len(came.input) > 0
	}
	return true
}

// accepts reports whether a call has room for the input of a piece: not once it is whole,
// unless it is repeated.
func accepts(item *grownItem, came callPiece) bool {
	return !item.call.input.closed() || isBlank(came.input) || repeats(item, came)
}

// repeats reports whether a piece has the whole input again.
func repeats(item *grownItem, came callPiece) bool {
	return item.call.input.closed() && bytes.Equal(item.value.member("function").member("arguments").contents(), came.input)
}

// isBlank reports whether input contains only blanks.
func isBlank(input []byte) bool { return strings.TrimSpace(strictjson.Unescape(input)) == "" }

// opensObject reports whether input is the beginning of an object.
func opensObject(input []byte) bool { return strictjson.FirstByte(input) == '{' }

// balance tracks the brackets of a tool's input as it grows, so that not all of it has to
// be read with each piece.
type balance struct {
	begun            bool
	depth            int
	inString, escape bool
}

// closed reports whether the input is whole: all that was opened has been closed.
func (b *balance) closed() bool { return b.begun && b.depth == 0 && !b.inString }

func (b *balance) add(input []byte) {
	for _, c := range strings.TrimSpace(strictjson.Unescape(input)) {
		b.begun = true
		switch {
		case b.escape:
			b.escape = false
		case c == '\\' && b.inString:
			b.escape = true
		case c == '"':
			b.inString = !b.inString
		case b.inString:
		case c == '{', c == '[':
			b.depth++
		case c == '}', c == ']':
			b.depth--
		}
	}
}
