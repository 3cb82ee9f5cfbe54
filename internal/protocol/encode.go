package protocol

import (
	"maps"
	"slices"

	"github.com/ringback/ringback/internal/strictjson"
)

// An encoder writes a provider's request. Any part of it may be large, so each is written
// once, into space that is allocated for all of them.
type encoder struct {
	prompt Prompt
	out    []byte
}

func newEncoder(p Prompt) *encoder {
	const frame = 200 // names, numbers and punctuation around the parts
	size := frame + strictjson.QuotedLen(p.Model) + len(p.Messages) + len(p.System)
	if strictjson.Absent(p.Messages) {
		size += strictjson.QuotedLen(p.Prompt)
	}
	for name, value := range p.Params {
		size += strictjson.QuotedLen(name) + len(value) + len(":,")
	}
	e := &encoder{prompt: p, out: append(make([]byte, 0, size), '{')}
	e.name("model")
	e.out = strictjson.AppendQuoted(e.out, p.Model)
	return e
}

// name begins a member.
func (e *encoder) name(name string) {
	e.out = append(strictjson.AppendQuoted(strictjson.AppendComma(e.out), name), ':')
}

func (e *encoder) member(name string, value []byte) {
	e.name(name)
	e.out = append(e.out, value...)
}

// messages writes the conversation; a prompt becomes one message of the user. System, if
// there is one, becomes the first message.
func (e *encoder) messages(system []byte) {
	e.name("messages")
	rest := []byte(nil)
	if !strictjson.Absent(e.prompt.Messages) {
		rest = e.prompt.Messages
	}
	if strictjson.Absent(system) && rest != nil {
		e.out = append(e.out, rest...)
		return
	}
	e.out = append(e.out, '[')
	if !strictjson.Absent(system) {
		e.out = append(append(append(e.out, `{"role":"system","content":`...), system...), `},`...)
	}
	if rest != nil { // contains a message, and ends the list
		e.out = append(e.out, strictjson.After('[', rest)...)
		return
	}
	e.out = append(e.out, `{"role":"user","content":`...)
	e.out = append(strictjson.AppendQuoted(e.out, e.prompt.Prompt), `}]`...)
}

// end writes the params in the order of their names.
func (e *encoder) end() []byte {
	for _, name := range slices.Sorted(maps.Keys(e.prompt.Params)) {
		e.member(name, e.prompt.Params[name])
	}
	return append(e.out, '}')
}
