package provider

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/sse"
)

// openaiAnswer assembles a stream of chat completions. Each event is a chunk:
// members of the answer itself, of which the latest counts, and pieces of
// choices. A choice is over when it says why (finish_reason), the stream at
// [DONE], which some servers leave out.
//
// A chunk with an error breaks the answer off. A choice that is not over at the
// end is an error too: gateways send [DONE] though the server behind them broke.
type openaiAnswer struct {
	pieces
	wanted  int // choices
	head    grownObject
	choices []*openaiChoice
	spoken  bool       // some piece of an answer has come
	failure *complaint // of a choice
	whole   []byte     // the message of a provider that did not stream
}

type openaiChoice struct {
	index    int64
	object   grownObject // its delta is the message
	over     bool
	inPieces bool // some piece of its message has come, not only a whole one

	touched, calls    bool   // something has come since it was told; tool calls have
	thoughts          string // the member that is told as such
	told, toldThought int    // bytes of its content and its thoughts, as they are escaped
}

var _ assembler = (*openaiAnswer)(nil)

func newOpenAIAnswer(request []byte) assembler {
	n := member(request, "n").Int()
	return &openaiAnswer{wanted: int(min(max(n, 1), maxParts))}
}

func (a *openaiAnswer) add(e sse.Event) (done bool, err error) {
	data := bytes.TrimSpace(e.Data)
	if string(data) == "[DONE]" {
		return a.done()
	}
	data, isJSON := readable(data)
	switch {
	case e.Type == "error", complainsIn(e.Type, data):
		if firstByte(data) == '{' && !a.ended() {
			_ = a.take(data) // what came beside the error has been paid for
		}
		return false, complaintOf(data)
	case !isJSON && e.Type == "message" && beginsAsJSON(data):
		return false, errors.New("an event is not JSON")
	case !isJSON || !isChunk(e.Type, data):
		return false, nil // a keep-alive
	}
	return false, a.take(data)
}

// isChunk tells a chunk from a keep-alive, which may be JSON too: a number, an object
// with the time.
func isChunk(kind string, event []byte) bool {
	choices := valueOf(event, "choices")
	empty := len(choices) == 0 || choices[0] == 'n' || choices[0] == '[' && firstByte(behind('[', choices)) == ']'
	switch {
	case !empty:
		return true
	case kind != "message": // a chunk has no name
		return false
	}
	return choices != nil || firstByte(valueOf(event, "usage")) == '{' ||
		string(meaning(valueOf(event, "object"))) == "chat.completion.chunk"
}

// done is the end that a provider says itself.
func (a *openaiAnswer) done() (bool, error) {
	if len(a.choices) == 0 {
		return false, errors.New("[DONE] came before any choice")
	}
	for _, choice := range a.choices {
		if !choice.over {
			return false, fmt.Errorf("[DONE] came before choice %d was over", choice.index)
		}
	}
	return true, nil
}

func (a *openaiAnswer) ended() bool {
	for _, choice := range a.choices {
		if !choice.over {
			return false
		}
	}
	return len(a.choices) >= a.wanted
}

func (a *openaiAnswer) finishes(data []byte) bool {
	return a.wanted == 1 && len(a.choices) <= 1 && gjson.GetBytes(data, "choices.0.finish_reason").Str != ""
}

var null = []byte("null")

// take handles a chunk.
func (a *openaiAnswer) take(chunk []byte) (err error) {
	for member := range pairs(chunk) {
		switch string(member.name) {
		case "obfuscation": // bytes against those who measure the wire
		case "choices":
			if err = a.amend(member.name, null); err == nil { // their place
				err = a.takeChoices(member.value)
			}
		default:
			err = a.amend(member.name, member.value)
		}
		if err != nil {
			return err
		}
	}
	if a.failure != nil {
		return *a.failure
	}
	return nil
}

// amend takes a member of the answer itself.
func (a *openaiAnswer) amend(name, value []byte) error {
	known, err := a.member(&a.head, name)
	if err != nil {
		return err
	}
	news := value[0] != 'n' && string(value) != `""` && !known.is(value)
	if known.kind == 0 || news {
		return a.set(known, name, value, false)
	}
	return nil
}

func (a *openaiAnswer) takeChoices(choices []byte) error {
	if choices[0] != '[' && choices[0] != 'n' {
		return errors.New("the choices are not a list")
	}
	for piece := range items(choices) {
		choice, err := a.choice(piece)
		if err != nil {
			return err
		}
		if err := a.grow(choice, piece); err != nil {
			return err
		}
	}
	return nil
}

// choice finds the choice that a piece belongs to.
func (a *openaiAnswer) choice(piece []byte) (*openaiChoice, error) {
	if piece[0] != '{' {
		return nil, errors.New("a choice is not a JSON object")
	}
	index := member(piece, "index").Int() // some servers that have but one leave it out
	if index < 0 {
		return nil, fmt.Errorf("choice %d is none", index)
	}
	at, known := slices.BinarySearchFunc(a.choices, index, func(c *openaiChoice, index int64) int { return cmp.Compare(c.index, index) })
	if !known {
		if err := a.part(); err != nil {
			return nil, err
		}
		a.choices = slices.Insert(a.choices, at, &openaiChoice{index: index})
	}
	return a.choices[at], nil
}

// grow adds a piece to a choice.
func (a *openaiAnswer) grow(choice *openaiChoice, piece []byte) (err error) {
	var whole []byte
	for member := range pairs(piece) {
		switch string(member.name) {
		case "delta":
			var said bool
			said, err = a.speak(choice, member.value)
			choice.inPieces = choice.inPieces || said
		case "message":
			whole = member.value
			_, err = a.member(&choice.object, member.name) // its place
		default:
			err = a.addMember(&choice.object, member, false)
		}
		if err != nil {
			break
		}
	}
	if err == nil && firstByte(whole) == '{' {
		err = a.hear(choice, whole)
	}
	if c := choiceComplaint(piece); c != nil {
		a.failure = c
	} else if len(meaning(valueOf(piece, "finish_reason"))) > 0 {
		choice.over, a.spoken = true, true
	}
	return err
}

// hear takes a message that some servers send whole: in the place of deltas, each
// the whole so far, or beside and behind them. What has come in pieces stays, since
// it has been told: then the message adds what they lack.
func (a *openaiAnswer) hear(choice *openaiChoice, whole []byte) error {
	message, err := a.member(&choice.object, []byte("message"))
	if err != nil {
		return err
	}
	if choice.inPieces {
		whole = message.lacks(whole)
	} else {
		*message = grown{}
	}
	_, err = a.speak(choice, whole)
	return err
}

// speak adds a piece of a choice's message. said: it is more than an empty form.
func (a *openaiAnswer) speak(choice *openaiChoice, delta []byte) (said bool, err error) {
	message, err := a.member(&choice.object, []byte("message"))
	switch {
	case err != nil || delta[0] == 'n':
		return false, err
	case delta[0] != '{':
		return false, errors.New("a delta is not a JSON object")
	case message.kind == 0:
		message.kind, message.raw = '{', []byte("{}")
	}
	for member := range pairs(delta) {
		if err := checkPiece(member); err != nil {
			return false, err
		}
		said = said || says(member)
		choice.calls = choice.calls || string(member.name) == "tool_calls"
	}
	choice.touched = true
	a.spoken = a.spoken || said
	return said, a.merge(message, delta, true)
}

// checkPiece refuses what the members of a message that we know cannot be.
func checkPiece(of pair) error {
	switch string(of.name) {
	case "content", "refusal", "reasoning_content", "reasoning":
		if strings.IndexByte(`"[{n`, of.value[0]) < 0 {
			return fmt.Errorf("a piece of %s is not a string", of.name)
		}
	case "tool_calls":
		if of.value[0] != '[' && of.value[0] != 'n' {
			return errors.New("the tool calls are not a list")
		}
	}
	return nil
}

// says tells whether a piece of a message is more than an empty form.
func says(piece pair) bool {
	switch string(piece.value) {
	case "null", `""`, "[]", "{}":
		return false
	}
	return string(piece.name) != "role"
}

func (a *openaiAnswer) begun() bool { return a.whole != nil || a.spoken }
func (a *openaiAnswer) size() int   { return a.held }

func (a *openaiAnswer) message() json.RawMessage {
	if a.whole != nil {
		return a.whole
	}
	choices := make([]byte, 0, a.held+len("[]"))
	for i, choice := range a.choices {
		choices = append(choices, "[,"[min(i, 1)])
		choices = choice.appendTo(choices)
	}
	choices = append(choices, ']')
	head := a.head.appendTo(nil)
	return appendObject(make([]byte, 0, len(head)+len(choices)), head,
		field{"object", []byte(`"chat.completion"`)}, field{"choices", choices})
}

// appendTo appends the whole choice. A message has a role and a content, though
// a stream may do without.
func (c *openaiChoice) appendTo(dst []byte) []byte {
	message := []byte(c.object.result("message").Raw)
	if message == nil {
		message = []byte("{}")
	}
	if !member(message, "role").Exists() {
		message = appendObject(nil, []byte(`{"role":"assistant"}`), members(message)...)
	}
	if !member(message, "content").Exists() {
		message = appendObject(nil, message, field{"content", []byte("null")})
	}
	return appendObject(dst, c.object.appendTo(nil), field{"message", message})
}

func (a *openaiAnswer) text() string {
	if a.whole != nil {
		return joined(contentParts(openaiContent(a.whole)))
	}
	if len(a.choices) == 0 {
		return ""
	}
	return contentText(a.choices[0].object.result("message").Get("content"))
}

// tell tells the first choice, whose text is the answer's. A later one that came
// before it, and a message that may come again, longer, are told at the end.
func (a *openaiAnswer) tell(t teller) {
	if a.whole != nil {
		message := gjson.GetBytes(a.whole, "choices.0.message").Raw
		new(openaiChoice).tell(t, &grown{kind: '{', raw: []byte(message)})
		return
	}
	if len(a.choices) == 0 {
		return
	}
	first := a.choices[0]
	if t.ended || first.touched && first.inPieces && first.index == 0 {
		first.tell(t, first.object.member("message"))
	}
}

// tell tells what the message of the choice has grown by.
func (c *openaiChoice) tell(t teller, message *grown) {
	c.tellContent(t, message.member("content"))
	for _, name := range []string{"reasoning_content", "reasoning"} { // some servers send both, with the same text
		if c.thoughts == "" && len(message.member(name).contents()) > 0 {
			c.thoughts = name
		}
	}
	if thoughts := message.member(c.thoughts); thoughts.kind == '"' {
		t.string(ringback.DeltaThinking, 0, thoughts.contents(), &c.toldThought)
	}
	if c.calls || t.ended {
		tellCalls(t, message.member("tool_calls"))
	}
	c.touched, c.calls = false, false
}

// tellContent tells text: a string, or parts, which a string may have become.
func (c *openaiChoice) tellContent(t teller, content *grown) {
	if content.kind == '"' {
		t.string(ringback.DeltaText, 0, content.contents(), &c.told)
		return
	}
	content.tellParts(t, func(t teller, p part) {
		if c.told > 0 { // the string that there was is the first part
			*p.told, c.told = c.told, 0
		}
		kind := unescape(p.value.member("type").contents())
		value := p.value.member(kind)
		switch {
		case kind == "thinking" && value.kind == '[' && t.ended: // parts in turn
			t.text(ringback.DeltaThinking, p.item, contentText(gjson.ParseBytes(value.appendTo(nil))))
		case kind == "thinking", kind == "text":
			t.string(ringback.DeltaKind(kind), p.item, value.contents(), p.told)
		}
	})
}

// tellCalls tells the input of tools: a string, or an object, which is told whole.
func tellCalls(t teller, calls *grown) {
	calls.tellParts(t, func(t teller, p part) {
		input := p.value.member("function").member("arguments")
		if input.kind == '{' && t.ended {
			t.text(ringback.DeltaToolInput, p.place, string(input.appendTo(nil)))
			return
		}
		t.string(ringback.DeltaToolInput, p.place, input.contents(), p.told)
	})
}

func (a *openaiAnswer) model() string {
	if a.whole != nil {
		return member(a.whole, "model").Str
	}
	return a.head.result("model").Str
}

// usage gives the provider's object with our two counts beside its own.
func (a *openaiAnswer) usage() json.RawMessage {
	usage := a.head.result("usage")
	if a.whole != nil {
		usage = member(a.whole, "usage")
	}
	if !usage.IsObject() {
		return nil
	}
	object := []byte(usage.Raw)
	for _, name := range []struct{ ours, theirs string }{{"input_tokens", "prompt_tokens"}, {"output_tokens", "completion_tokens"}} {
		count := member(object, name.theirs)
		if isCount(count) && !isCount(member(object, name.ours)) {
			object = appendObject(nil, object, field{name.ours, []byte(count.Raw)})
		}
	}
	return object
}
