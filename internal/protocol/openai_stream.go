package protocol

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
	"github.com/ringback/ringback/internal/protocol/apierror"
	"github.com/ringback/ringback/internal/sse"
	"github.com/ringback/ringback/internal/strictjson"
)

// openaiAnswer assembles a stream of chat completions. Each event is a chunk: members of
// the answer itself (the latest counts), and pieces of choices. A choice is over
// when it has a finish_reason, the stream at [DONE], which some servers omit.
//
// A chunk with an error breaks the answer off. A choice that is not over at the end is an
// error too: gateways send [DONE] although the server behind them broke.
type openaiAnswer struct {
	pieces
	emittedStart bool
	final        json.RawMessage // the message, once it has been emitted
	wanted       int             // choices
	head         grownObject
	choices      []*openaiChoice
	started      bool            // some piece of an answer has arrived
	failure      *apierror.Error // of a choice
	whole        []byte          // the message of a provider that did not stream
}

type openaiChoice struct {
	index    int64
	object   grownObject // its delta is the message
	over     bool
	inPieces bool // some piece of its message has arrived, not only a whole one

	touched, calls            bool                        // something has arrived since it was emitted; tool calls have
	reasoningField            string                      // the member that is emitted as thinking
	emitting                  bool                        // something has been emitted
	emittedWhole              map[ringback.DeltaKind]bool // these are also in the frame at the end
	emitted, emittedReasoning int                         // bytes of its content and its thoughts, as they are escaped
}

var _ Assembly = (*openaiAnswer)(nil)

func newOpenAIAnswer(request []byte) Assembly {
	n := strictjson.Get(request, "n").Int()
	return &openaiAnswer{wanted: int(min(max(n, 1), maxParts))}
}

func (a *openaiAnswer) Add(e sse.Event) (done bool, err error) {
	data := bytes.TrimSpace(e.Data)
	if string(data) == "[DONE]" {
		return a.done()
	}
	data, isJSON := strictjson.Repair(data)
	switch {
	case e.Type == "error", apierror.IsErrorEvent(e.Type, data):
		if strictjson.FirstByte(data) == '{' && !a.ended() {
			_ = a.take(data) // what arrived with the error has been paid for
		}
		return false, apierror.Within(data)
	case !isJSON && e.Type == "message" && strictjson.LooksLikeJSON(data):
		return false, errors.New("an event is not JSON")
	case !isJSON || !isChunk(e.Type, data):
		return false, nil // a keep-alive
	}
	return false, a.take(data)
}

// isChunk distinguishes a chunk from a keep-alive, which may be JSON too: a number, an object
// with the time.
func isChunk(kind string, event []byte) bool {
	choices := strictjson.ValueOf(event, "choices")
	empty := len(choices) == 0 || choices[0] == 'n' || choices[0] == '[' && strictjson.FirstByte(strictjson.After('[', choices)) == ']'
	switch {
	case !empty:
		return true
	case kind != "message": // a chunk has no name
		return false
	}
	return choices != nil || strictjson.FirstByte(strictjson.ValueOf(event, "usage")) == '{' ||
		string(strictjson.String(strictjson.ValueOf(event, "object"))) == "chat.completion.chunk"
}

// done handles the end that a provider marks explicitly.
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

func (a *openaiAnswer) Finishes(data []byte) bool {
	return a.wanted == 1 && len(a.choices) <= 1 && gjson.GetBytes(data, "choices.0.finish_reason").Str != ""
}

// take handles a chunk.
func (a *openaiAnswer) take(chunk []byte) (err error) {
	for member := range strictjson.Members(chunk) {
		switch string(member.Name) {
		case "obfuscation": // padding against measuring packet sizes
		case "choices":
			if err = a.amend(member.Name, strictjson.Null); err == nil { // only reserves their place
				err = a.takeChoices(member.Value)
			}
		default:
			err = a.amend(member.Name, member.Value)
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

// amend sets a member of the answer itself.
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
	for piece := range strictjson.Elements(choices) {
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
	index := strictjson.Get(piece, "index").Int() // some servers with only one choice omit it
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
	for member := range strictjson.Members(piece) {
		switch string(member.Name) {
		case "delta":
			var said bool
			said, err = a.addDelta(choice, member.Value)
			choice.inPieces = choice.inPieces || said
		case "message":
			whole = member.Value
			_, err = a.member(&choice.object, member.Name) // only reserves its place
		default:
			err = a.addMember(&choice.object, member, false)
		}
		if err != nil {
			break
		}
	}
	if err == nil && strictjson.FirstByte(whole) == '{' {
		err = a.addMessage(choice, whole)
	}
	if c := apierror.OfChoice(piece); c != nil {
		a.failure = c
	} else if len(strictjson.String(strictjson.ValueOf(piece, "finish_reason"))) > 0 {
		choice.over, a.started = true, true
	}
	return err
}

// addMessage adds a message that some servers send whole: instead of deltas, each time the
// whole so far, or beside and after deltas. What arrived in pieces stays, since it has been
// emitted; the message then adds what they lack.
func (a *openaiAnswer) addMessage(choice *openaiChoice, whole []byte) error {
	message, err := a.member(&choice.object, []byte("message"))
	if err != nil {
		return err
	}
	if choice.inPieces {
		whole = message.lacks(whole)
	} else {
		*message = grown{}
	}
	_, err = a.addDelta(choice, whole)
	return err
}

// addDelta adds a piece of a choice's message, and reports whether it is more than an empty form.
func (a *openaiAnswer) addDelta(choice *openaiChoice, delta []byte) (said bool, err error) {
	message, err := a.member(&choice.object, []byte("message"))
	switch {
	case err != nil || delta[0] == 'n':
		return false, err
	case delta[0] != '{':
		return false, errors.New("a delta is not a JSON object")
	case message.kind == 0:
		message.kind, message.raw = '{', []byte("{}")
	}
	for member := range strictjson.Members(delta) {
		if err := checkPiece(member); err != nil {
			return false, err
		}
		said = said || hasContent(member)
		choice.calls = choice.calls || string(member.Name) == "tool_calls"
	}
	choice.touched = true
	a.started = a.started || said
	return said, a.merge(message, delta, true)
}

// checkPiece rejects values that the known members of a message cannot have.
func checkPiece(of strictjson.Member) error {
	switch string(of.Name) {
	case "content", "refusal", "reasoning_content", "reasoning":
		if strings.IndexByte(`"[{n`, of.Value[0]) < 0 {
			return fmt.Errorf("a piece of %s is not a string", of.Name)
		}
	case "tool_calls":
		if of.Value[0] != '[' && of.Value[0] != 'n' {
			return errors.New("the tool calls are not a list")
		}
	}
	return nil
}

// hasContent reports whether a piece of a message is more than an empty form.
func hasContent(piece strictjson.Member) bool {
	switch string(piece.Value) {
	case "null", `""`, "[]", "{}":
		return false
	}
	return string(piece.Name) != "role"
}

func (a *openaiAnswer) Progress() Progress {
	return Progress{Begun: a.whole != nil || a.started, Whole: a.ended(), Size: a.held}
}

func (a *openaiAnswer) Summary() Summary {
	return Summary{Text: a.text(), Model: a.model(), Usage: a.usage()}
}

func (a *openaiAnswer) Message() json.RawMessage {
	if a.final != nil {
		return a.final
	}
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
	return strictjson.AppendObject(make([]byte, 0, len(head)+len(choices)), head,
		strictjson.Field{Name: "object", Value: []byte(`"chat.completion"`)}, strictjson.Field{Name: "choices", Value: choices})
}

// appendTo appends the whole choice. A message has a role and a content, even if the stream
// lacks them.
func (c *openaiChoice) appendTo(dst []byte) []byte {
	message := []byte(c.object.result("message").Raw)
	if message == nil {
		message = []byte("{}")
	}
	if !strictjson.Get(message, "role").Exists() {
		message = strictjson.AppendObject(nil, []byte(`{"role":"assistant"}`), strictjson.Fields(message)...)
	}
	if !strictjson.Get(message, "content").Exists() {
		message = strictjson.AppendObject(nil, message, strictjson.Field{Name: "content", Value: []byte("null")})
	}
	return strictjson.AppendObject(dst, c.object.appendTo(nil), strictjson.Field{Name: "message", Value: message})
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

// Emit emits the first choice, whose text is the answer's. A later choice that arrived
// before it, and a message that may arrive again, longer, are emitted at the end.
func (a *openaiAnswer) Emit(t Emitter) {
	a.emitStart(t)
	if a.whole != nil {
		choice, message := new(openaiChoice), gjson.GetBytes(a.whole, "choices.0.message").Raw
		choice.emit(t, &grown{kind: '{', raw: []byte(message)})
		a.emitEnd(t, choice)
		return
	}
	if len(a.choices) == 0 {
		return
	}
	first := a.choices[0]
	if t.Ended || first.touched && first.inPieces && first.index == 0 {
		first.emit(t, first.object.member("message"))
	}
	if t.Ended {
		a.emitEnd(t, first)
	}
}

// emit emits what the message of the choice has grown by.
func (c *openaiChoice) emit(t Emitter, message *grown) {
	if t.Ended && !c.emitting { // its form may differ from what arrives in pieces
		c.emitWhole(t, ringback.DeltaText, ringback.DeltaThinking, ringback.DeltaToolInput)
	}
	c.emitting = true
	c.emitContent(t, message.member("content"))
	for _, name := range []string{"reasoning_content", "reasoning"} { // some servers send both, with the same text
		if c.reasoningField == "" && len(message.member(name).contents()) > 0 {
			c.reasoningField = name
			t.emitFrame(PieceBlock, ringback.DeltaThinking, 0, objectOf(quoted("field", name)))
		}
	}
	if thoughts := message.member(c.reasoningField); thoughts.kind == '"' {
		t.emitString(ringback.DeltaThinking, 0, thoughts.contents(), &c.emittedReasoning)
	}
	if c.calls || t.Ended {
		emitCalls(t, message.member("tool_calls"))
	}
	c.touched, c.calls = false, false
}

// emitContent emits text: a string, or parts, which a string may have turned into.
func (c *openaiChoice) emitContent(t Emitter, content *grown) {
	if content.kind == '"' {
		t.emitString(ringback.DeltaText, 0, content.contents(), &c.emitted)
		return
	}
	if content.kind == '[' {
		c.emitWhole(t, ringback.DeltaText, ringback.DeltaThinking)
	}
	content.emitParts(t, func(t Emitter, p part) {
		if c.emitted > 0 { // the previous string is the first part
			*p.emitted, c.emitted = c.emitted, 0
		}
		kind := strictjson.Unescape(p.value.member("type").contents())
		value := p.value.member(kind)
		switch {
		case kind == "thinking" && value.kind == '[' && t.Ended: // parts in turn
			t.emitText(ringback.DeltaThinking, p.item, contentText(gjson.ParseBytes(value.appendTo(nil))))
		case kind == "thinking", kind == "text":
			t.emitString(ringback.DeltaKind(kind), p.item, value.contents(), p.emitted)
		}
	})
}

// emitCalls emits the input of tools: a string, or an object, which is emitted whole.
func emitCalls(t Emitter, calls *grown) {
	calls.emitParts(t, func(t Emitter, p part) {
		input := p.value.member("function").member("arguments")
		emitCall(t, p, input)
		if input.kind == '{' && t.Ended {
			t.emitText(ringback.DeltaToolInput, p.place, string(input.appendTo(nil)))
			return
		}
		t.emitString(ringback.DeltaToolInput, p.place, input.contents(), p.emitted)
	})
}

func (a *openaiAnswer) model() string {
	if a.whole != nil {
		return strictjson.Get(a.whole, "model").Str
	}
	return a.head.result("model").Str
}

// usage returns the provider's object with our two counts beside its own.
func (a *openaiAnswer) usage() json.RawMessage {
	usage := a.head.result("usage")
	if a.whole != nil {
		usage = strictjson.Get(a.whole, "usage")
	}
	if !usage.IsObject() {
		return nil
	}
	object := []byte(usage.Raw)
	for _, name := range []struct{ ours, theirs string }{{"input_tokens", "prompt_tokens"}, {"output_tokens", "completion_tokens"}} {
		count := strictjson.Get(object, name.theirs)
		if IsCount(count) && !IsCount(strictjson.Get(object, name.ours)) {
			object = strictjson.AppendObject(nil, object, strictjson.Field{Name: name.ours, Value: []byte(count.Raw)})
		}
	}
	return object
}

// IsCount reports whether a value can be a number of tokens.
func IsCount(n gjson.Result) bool {
	const most = 1 << 53 // above that, programs lose digits
	return n.Type == gjson.Number && n.Num >= 0 && n.Num <= most
}
