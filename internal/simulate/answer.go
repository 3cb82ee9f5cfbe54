package simulate

import (
	"iter"
	"slices"
	"strings"
)

// answer is a model's answer to one prompt, independent of the protocol.
type answer struct {
	id     string // each protocol adds its own prefix
	model  string
	blocks []block
	input  int // tokens
	output int // tokens; a word counts as one
	words  int // in its text
}

// block is a part of an answer: in pieces, and whole.
type block struct {
	kind   blockKind
	id     string // of a call of a tool
	name   string // of the tool
	pieces iter.Seq[string]
	whole  string
}

type blockKind int

const (
	textKind blockKind = iota
	thoughtKind
	toolKind // pieces and whole are its input, JSON
)

// newAnswer makes the answer. The same model and prompt result in the same answer, so that
// a stream can be compared with a call without streaming.
func newAnswer(h habit, m request) answer {
	a := answer{
		id:    fingerprint(m.Model, m.prompt),
		model: m.Model,
		input: max(1, len(strings.Fields(m.prompt))),
	}
	switch h.answer {
	case sayEcho:
		a.say(m.prompt, 32)
	case sayText:
		a.say(textFor(m.prompt, max(h.words, h.after)), 0)
	case sayThought:
		a.think(thought)
		a.say(m.prompt, 32)
	case sayTool:
		a.say("Let me look that up.", 0)
		a.useTool("get_weather", `{"city": "Pa`, `ris", "unit"`, `: "celsius"}`)
	case sayBlocks:
		words := strings.SplitAfter(m.prompt, " ")
		third := (len(words) + 2) / 3
		a.think(thought)
		for part := range slices.Chunk(words, max(third, 1)) {
			a.say(strings.Join(part, ""), 0)
			if len(a.blocks) == 3 {
				a.useTool("get_weather", `{"city": "Mün`, `chen", "unit"`, `: "celsius"}`)
			}
		}
	}
	if h.trouble == neverEnd {
		a.blocks[0].pieces = endless()
		a.words = 0
	}
	return a
}

func (a *answer) say(text string, most int) {
	a.blocks = append(a.blocks, block{kind: textKind, pieces: pieces(text, most), whole: text})
	n := len(strings.Fields(text))
	a.words += n
	a.output += n
}

func (a *answer) think(text string) {
	a.blocks = append(a.blocks, block{kind: thoughtKind, pieces: pieces(text, 0), whole: text})
	a.output += len(strings.Fields(text))
}

func (a *answer) useTool(name string, input ...string) {
	a.blocks = append(a.blocks, block{
		kind: toolKind, id: fingerprint(a.id, name), name: name,
		pieces: slices.Values(input), whole: strings.Join(input, ""),
	})
	a.output += len(input)
}

// usesTool reports whether the answer ends with the use of a tool.
func (a *answer) usesTool() bool {
	return slices.ContainsFunc(a.blocks, func(b block) bool { return b.kind == toolKind })
}

// all returns all blocks of a kind, joined.
func (a *answer) all(kind blockKind) string {
	var all strings.Builder
	for _, b := range a.blocks {
		if b.kind == kind {
			all.WriteString(b.whole)
		}
	}
	return all.String()
}
