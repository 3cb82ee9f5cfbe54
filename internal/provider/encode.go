package provider

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// An encoder writes a provider's request, of which a caller may have sized every part:
// each is written once, into room that is made for all of them.
type encoder struct {
	prompt Prompt
	out    []byte
}

func newEncoder(p Prompt) *encoder {
	const frame = 200 // names, numbers and punctuation around the parts
	size := frame + sizeQuoted(p.Model) + len(p.Messages) + len(p.System)
	if absent(p.Messages) {
		size += sizeQuoted(p.Prompt)
	}
	for name, value := range p.Params {
		size += sizeQuoted(name) + len(value) + len(":,")
	}
	e := &encoder{prompt: p, out: append(make([]byte, 0, size), '{')}
	e.name("model")
	e.out = appendQuoted(e.out, p.Model)
	return e
}

// name begins a member.
func (e *encoder) name(name string) {
	e.out = append(appendQuoted(appendComma(e.out), name), ':')
}

func (e *encoder) member(name string, value []byte) {
	e.name(name)
	e.out = append(e.out, value...)
}

// messages writes the conversation; a prompt is one message of the user. System, if
// there is one, is its first message.
func (e *encoder) messages(system []byte) {
	e.name("messages")
	rest := []byte(nil)
	if !absent(e.prompt.Messages) {
		rest = e.prompt.Messages
	}
	if absent(system) && rest != nil {
		e.out = append(e.out, rest...)
		return
	}
	e.out = append(e.out, '[')
	if !absent(system) {
		e.out = append(append(append(e.out, `{"role":"system","content":`...), system...), `},`...)
	}
	if rest != nil { // which holds a message, and ends the list
		e.out = append(e.out, behind('[', rest)...)
		return
	}
	e.out = append(e.out, `{"role":"user","content":`...)
	e.out = append(appendQuoted(e.out, e.prompt.Prompt), `}]`...)
}

// end writes the params in the order of their names.
func (e *encoder) end() []byte {
	for _, name := range slices.Sorted(maps.Keys(e.prompt.Params)) {
		e.member(name, e.prompt.Params[name])
	}
	return append(e.out, '}')
}

// sizeQuoted is the length of what appendQuoted makes of s.
func sizeQuoted(s string) int {
	size := len(s) + len(`""`)
	if !utf8.ValidString(s) {
		return size + 2*len(s) // each byte may become the three of U+FFFD
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			size += len(escape(rune(c))) - 1
		}
	}
	for _, separator := range []string{"\u2028", "\u2029"} {
		size += strings.Count(s, separator) * (len(`\u2028`) - len(separator))
	}
	return size
}
