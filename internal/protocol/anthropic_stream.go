package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/protocol/apierror"
	"github.com/ringback/ringback/internal/sse"
	"github.com/ringback/ringback/internal/strictjson"
)

// anthropicAnswer assembles a stream of the Messages protocol:
//
//	message_start        the message, its content empty
//	content_block_start  the beginning of a block; an index distinguishes it from others
//	content_block_delta  a piece of it, see anthropicBlock.add
//	content_block_stop   nothing that we need
//	message_delta        how the message ended, and its usage so far: the answer is whole
//	message_stop         nothing follows
//	ping                 nothing
//	error                the provider breaks off
//
// Other events are ignored, as the protocol demands. Anything that cannot be right (a piece
// of a block that never began, a second message, no JSON) is an error: an answer is never
// guessed. Blocks that are open when the message stops are whole: the maker's own API
// leaves a tool's input like that at max_tokens.
type anthropicAnswer struct {
	head    []byte // the message without its blocks; nil before message_start
	blocks  []*anthropicBlock
	byIndex map[int64]*anthropicBlock
	touched *anthropicBlock // has grown since it was emitted
	over    bool            // it has a stop reason: the answer is whole
	whole   bool            // head contains the blocks too: the provider did not stream
	held    int

	emittedStart  bool
	emittedBlocks int             // how many of the first blocks have been emitted as they begin
	final         json.RawMessage // the message, once it has been emitted
}

var _ Assembly = (*anthropicAnswer)(nil)

func (a *anthropicAnswer) Add(e sse.Event) (done bool, err error) {
	if a.addPlain(e.Data) {
		return false, nil
	}
	kind, event := e.Type, []byte(nil)
	if meant, ok := strictjson.Repair(e.Data); ok {
		e.Data, event = meant, meant
		if named := strictjson.String(strictjson.ValueOf(event, "type")); named != nil && string(named) != kind { // usually it is: no copy for each event
			kind = string(named)
		}
	}
	if apierror.IsErrorEvent(e.Type, event) {
		kind = "error"
	}
	switch {
	case strictjson.FirstByte(e.Data) != 0, kind == "error":
	case kind != "message_stop" || a.head == nil: // a keep-alive
		return false, nil
	default:
		return true, nil
	}
	switch kind {
	case "error":
		return false, apierror.Within(e.Data)
	case "message_start", "content_block_start", "content_block_delta", "message_delta", "message_stop":
		if kind != "message_start" && a.head == nil {
			return false, fmt.Errorf("%s came before message_start", kind)
		}
		return kind == "message_stop", a.take(kind, event)
	case "message":
		switch {
		case event == nil && strictjson.LooksLikeJSON(e.Data):
			return false, errors.New("an event is not JSON")
		case a.head == nil && strictjson.FirstByte(strictjson.ValueOf(event, "content")) == '[': // the server has sent everything in one event
			a.over = true
			return false, a.Replace(bytes.Clone(event))
		}
	}
	return false, nil // a keep-alive, or something that the protocol has added since
}

// The text around the index and the text of a piece, as the maker itself writes it.
const (
	beforeIndex = `{"type":"content_block_delta","index":`
	beforeText  = `,"delta":{"type":"text_delta","text":`
	afterText   = `}}`
)

// addPlain adds a piece of text that is written exactly as the maker writes it, as nearly
// all events are: it is read in one go. It leaves alone anything that differs by a single
// byte.
func (a *anthropicAnswer) addPlain(event []byte) bool {
	rest, is := bytes.CutPrefix(event, []byte(beforeIndex))
	if !is || len(rest) == 0 || rest[0] < '0' || rest[0] > '9' {
		return false
	}
	index := int64(rest[0] - '0') // of more than one digit: left alone
	if rest, is = bytes.CutPrefix(rest[1:], []byte(beforeText)); !is {
		return false
	}
	text, is := bytes.CutSuffix(rest, []byte(afterText))
	block := a.byIndex[index]
	if !is || block == nil || strictjson.FirstByte(text) != '"' || strictjson.StringLen(text) != len(text) || !gjson.ValidBytes(text) {
		return false
	}
	before := block.size
	_ = block.grow("text", text) // it is a string
	a.held += block.size - before
	a.touched = block
	return true
}

// take handles an event that is part of the message.
func (a *anthropicAnswer) take(kind string, event []byte) error {
	if strictjson.FirstByte(event) != '{' {
		return fmt.Errorf("%s is not a JSON object", kind)
	}
	switch kind {
	case "message_start":
		return a.start(strictjson.ValueOf(event, "message"))
	case "content_block_start":
		return a.startBlock(event)
	case "content_block_delta":
		index := strictjson.Get(event, "index")
		block := a.byIndex[index.Int()]
		if block == nil || !index.Exists() {
			return fmt.Errorf("a piece came of block %.20q, which never began", index.Raw)
		}
		before := block.size
		a.touched = block
		err := block.add(strictjson.ValueOf(event, "delta"))
		a.held += block.size - before
		return err
	case "message_delta":
		a.amend(event)
		if c := apierror.OfFinish("stop_reason", strictjson.Get(strictjson.ValueOf(event, "delta"), "stop_reason").Str); c != nil {
			return *c
		}
	}
	return nil
}

func (a *anthropicAnswer) start(message []byte) error {
	if a.head != nil {
		return errors.New("a second message_start came")
	}
	if strictjson.FirstByte(message) != '{' {
		return errors.New("message_start has no message")
	}
	a.head = bytes.Clone(message)
	a.held = len(a.head)
	a.byIndex = make(map[int64]*anthropicBlock)
	return nil
}

func (a *anthropicAnswer) startBlock(event []byte) error {
	index, head := strictjson.Get(event, "index"), strictjson.Get(event, "content_block")
	if index.Type != gjson.Number || !head.IsObject() {
		return errors.New("content_block_start has no index or no block")
	}
	if a.byIndex[index.Int()] != nil {
		return fmt.Errorf("block %d began twice", index.Int())
	}
	block := &anthropicBlock{place: len(a.blocks), head: []byte(head.Raw), size: len(head.Raw)}
	a.byIndex[index.Int()] = block
	a.blocks = append(a.blocks, block)
	a.touched = block
	a.held += block.size
	if head.Get("type").Str == "fallback" && head.Get("to.model").Type == gjson.String {
		// Another model took over. Without streaming, the message would name that model.
		a.head = strictjson.AppendObject(nil, a.head, strictjson.Field{Name: "model", Value: []byte(head.Get("to.model").Raw)})
	}
	return nil
}

// amend applies a message_delta: members of its delta and its own become members of the
// message; the usage is cumulative, member by member.
func (a *anthropicAnswer) amend(event []byte) {
	before := len(a.head)
	delta := strictjson.ValueOf(event, "delta")
	a.over = a.over || len(strictjson.String(strictjson.ValueOf(delta, "stop_reason"))) > 0
	a.head = strictjson.Merge(a.head, delta)
	a.head = strictjson.Merge(a.head, event, "type", "delta", "usage")
	if usage := strictjson.ValueOf(event, "usage"); strictjson.FirstByte(usage) == '{' {
		if known := strictjson.ValueOf(a.head, "usage"); strictjson.FirstByte(known) == '{' {
			usage = strictjson.Merge(known, usage)
		}
		a.head = strictjson.AppendObject(nil, a.head, strictjson.Field{Name: "usage", Value: usage})
	}
	a.held += len(a.head) - before
}

func (a *anthropicAnswer) Replace(message []byte) error {
	message, isJSON := strictjson.Repair(message)
	if !isJSON || strictjson.FirstByte(message) != '{' {
		if c, ok := apierror.Read(http.StatusOK, message); ok { // in a list
			return c
		}
		return errors.New("the answer is not a JSON object")
	}
	if !utf8.Valid(message) {
		message = bytes.ToValidUTF8(message, []byte("\uFFFD"))
	}
	content := strictjson.Get(message, "content")
	if apierror.IsError(message) || !content.IsArray() {
		if c, ok := apierror.Read(http.StatusOK, message); ok {
			return c
		}
		return errors.New("the answer is not a message")
	}
	failure := apierror.OfFinish("stop_reason", strictjson.Get(message, "stop_reason").Str)
	if failure == nil || len(content.Get("0").Raw) > 0 {
		a.head, a.whole, a.held = message, true, len(message)
	}
	if failure != nil {
		return *failure
	}
	return nil
}

func (a *anthropicAnswer) ended() bool { return a.over }

func (a *anthropicAnswer) Finishes(data []byte) bool {
	return a.head != nil && strictjson.Get(data, "type").Str == "message_delta" && gjson.GetBytes(data, "delta.stop_reason").Str != ""
}

func (a *anthropicAnswer) Progress() Progress {
	return Progress{Begun: a.whole || len(a.blocks) > 0, Whole: a.ended(), Size: a.held}
}

func (a *anthropicAnswer) Summary() Summary {
	return Summary{Text: a.text(), Model: a.model(), Usage: a.usage()}
}

func (a *anthropicAnswer) Message() json.RawMessage {
	if a.final != nil {
		return a.final
	}
	if len(a.blocks) == 0 {
		return a.head
	}
	content := make([]byte, 0, a.held+len("[]"))
	for i, block := range a.blocks {
		content = append(content, "[,"[min(i, 1)])
		content = block.appendTo(content)
	}
	content = append(content, ']')
	return strictjson.AppendObject(make([]byte, 0, len(a.head)+len(content)), a.head, strictjson.Field{Name: "content", Value: content})
}

func (a *anthropicAnswer) text() string {
	if len(a.blocks) == 0 {
		return joined(contentParts(anthropicContent(a.head)))
	}
	var texts []string
	for _, block := range a.blocks {
		if block.is("text") {
			texts = append(texts, strictjson.Unescape(bytes.TrimPrefix(block.string("text"), []byte{'"'})))
		}
	}
	return strings.Join(texts, "")
}

func (a *anthropicAnswer) Emit(t Emitter) {
	a.emitStart(t)
	switch {
	case !t.Ended && a.touched != nil:
		a.emitBlocks(t, a.touched.place)
		a.touched.emit(t)
		a.touched = nil
	case t.Ended && len(a.blocks) == 0:
		place := 0
		for block := range strictjson.Elements(strictjson.ValueOf(a.head, "content")) {
			(&anthropicBlock{place: place, head: block}).emit(t)
			place++
		}
	case t.Ended:
		for _, block := range a.blocks {
			block.emit(t)
		}
	}
	if t.Ended {
		a.emitEnd(t)
	}
}

func (a *anthropicAnswer) model() string { return strictjson.Get(a.head, "model").Str }

func (a *anthropicAnswer) usage() json.RawMessage {
	usage := strictjson.Get(a.head, "usage")
	if !usage.IsObject() {
		return nil
	}
	return json.RawMessage(usage.Raw)
}

// anthropicBlock is a content block, with the pieces of it that have arrived.
type anthropicBlock struct {
	place   int    // among the blocks
	head    []byte // its beginning, with what pieces have replaced since
	strings []grownString
	input   []byte // of a tool: JSON, as the contents of JSON strings
	list    []byte // of citations, joined by commas
	size    int

	emitted, emittedInput int // bytes of its text or thoughts, and of input
	emittedBegin          bool
}

// grownString is a string member that pieces append to. They are joined in escaped form, so
// that halves of a surrogate pair become one character.
type grownString struct {
	name  string
	value []byte // a JSON string without its closing quote
}

// maxGrown bounds the string members of a block that grow. The protocol has one or two;
// each costs a lookup with each piece.
const maxGrown = 64

// add adds a piece. Pieces of an unknown type are kept as well as possible: strings are
// appended to the string of the same name, all other members replace it.
func (b *anthropicBlock) add(delta []byte) error {
	if strictjson.FirstByte(delta) != '{' {
		return errors.New("content_block_delta has no delta")
	}
	switch string(strictjson.String(strictjson.ValueOf(delta, "type"))) {
	case "text_delta":
		return b.grow("text", strictjson.ValueOf(delta, "text"))
	case "thinking_delta":
		return b.grow("thinking", strictjson.ValueOf(delta, "thinking"))
	case "signature_delta":
		b.replace(delta, "type")
	case "input_json_delta":
		return b.growInput(strictjson.ValueOf(delta, "partial_json"))
	case "citations_delta":
		b.addCitation(strictjson.ValueOf(delta, "citation"))
	case "compaction_delta":
		b.replace(delta, "type", "content")
		return b.grow("content", strictjson.ValueOf(delta, "content"))
	default:
		b.addUnknown(delta)
	}
	return nil
}

// grow appends to a string member. A null piece is an empty one.
func (b *anthropicBlock) grow(name string, piece []byte) error {
	switch strictjson.FirstByte(piece) {
	case 'n', 0: // absent, too
		return nil
	case '"':
	default:
		return fmt.Errorf("a piece of %s is not a string", name)
	}
	at := b.at(name)
	if at == len(b.strings) {
		b.strings = append(b.strings, grownString{name, b.string(name)})
	}
	b.strings[at].value = append(b.strings[at].value, strictjson.Inside(piece)...)
	b.size += len(piece)
	return nil
}

// at returns the position of the named string among those that grow; their number if it is
// not among them.
func (b *anthropicBlock) at(name string) int {
	at := 0
	for at < len(b.strings) && b.strings[at].name != name {
		at++
	}
	return at
}

// string returns a string member without its closing quote, empty if the block
// has none.
func (b *anthropicBlock) string(name string) []byte {
	if at := b.at(name); at < len(b.strings) {
		return b.strings[at].value
	}
	begun := strictjson.ValueOf(b.head, name)
	if strictjson.FirstByte(begun) != '"' {
		return []byte{'"'}
	}
	return bytes.Clone(begun[:len(begun)-1])
}

func (b *anthropicBlock) growInput(piece []byte) error {
	switch strictjson.FirstByte(piece) {
	case 'n', 0:
		return nil
	case '"':
	default:
		return errors.New("a piece of a tool's input is not a string")
	}
	b.input = append(b.input, strictjson.Inside(piece)...)
	b.size += len(piece)
	return nil
}

func (b *anthropicBlock) addCitation(citation []byte) {
	if citation == nil {
		return
	}
	if len(b.list) > 0 {
		b.list = append(b.list, ',')
	}
	b.list = append(b.list, citation...)
	b.size += len(citation) + 1
}

// replace sets members, except those that are emitted as they grow.
func (b *anthropicBlock) replace(delta []byte, except ...string) {
	except = append(except, "text", "thinking")
	before := len(b.head)
	b.head = strictjson.Merge(b.head, delta, except...)
	b.size += len(b.head) - before
}

func (b *anthropicBlock) addUnknown(delta []byte) {
	except := []string{"type"}
	for p := range strictjson.Members(delta) {
		name := string(p.Name)
		room := len(b.strings) < maxGrown || name == "text" || name == "thinking"
		if p.Value[0] == '"' && name != "type" && room {
			except = append(except, name)
			_ = b.grow(name, p.Value) // it is a string
		}
	}
	b.replace(delta, except...)
}

// emit emits what the block has grown by. Input that came with the beginning of the block
// is emitted at the end, since pieces would replace it.
func (b *anthropicBlock) emit(t Emitter) {
	b.emitBegin(t)
	switch kind := strictjson.Get(b.head, "type").Str; kind {
	case "text", "thinking":
		t.emitString(ringback.DeltaKind(kind), b.place, b.string(kind)[len(`"`):], &b.emitted)
	}
	t.emitString(ringback.DeltaToolInput, b.place, b.input, &b.emittedInput)
	if t.Ended && b.rawInput() == "" && b.at("input") == len(b.strings) {
		if input := strictjson.ValueOf(b.head, "input"); len(strictjson.Fields(input)) > 0 {
			t.emitText(ringback.DeltaToolInput, b.place, string(input))
		}
	}
}

func (b *anthropicBlock) is(kind string) bool { return strictjson.Get(b.head, "type").Str == kind }

// appendTo appends the whole block.
func (b *anthropicBlock) appendTo(dst []byte) []byte {
	var fields []strictjson.Field
	for _, grown := range b.strings {
		fields = append(fields, strictjson.Field{Name: grown.name, Value: append(grown.value, '"')})
	}
	if input := b.parsedInput(); input != nil {
		fields = append(fields, strictjson.Field{Name: "input", Value: input})
	}
	if len(b.list) > 0 {
		fields = append(fields, strictjson.Field{Name: "citations", Value: b.citations()})
	}
	if len(fields) == 0 {
		return append(dst, b.head...)
	}
	return strictjson.AppendObject(dst, b.head, fields...)
}

// rawInput returns a tool's input, joined from its pieces.
func (b *anthropicBlock) rawInput() string { return strings.TrimSpace(strictjson.Unescape(b.input)) }

// parsedInput returns a tool's input, nil if the block has none or its input is unchanged
// since its beginning. Input that is not JSON (a tool with eager_input_streaming, cut by
// max_tokens) is wrapped as the maker's documentation advises.
func (b *anthropicBlock) parsedInput() []byte {
	text := b.rawInput()
	switch {
	case text == "" && (strictjson.Get(b.head, "input").Exists() || !strings.HasSuffix(strictjson.Get(b.head, "type").Str, "tool_use")):
		return nil
	case text == "":
		return []byte("{}")
	case !strictjson.Valid([]byte(text)):
		return strictjson.AppendObject(nil, []byte("{}"), strictjson.Field{Name: "INVALID_JSON", Value: strictjson.Quote(text)})
	}
	return []byte(text)
}

// citations returns the citations that the block began with, and those that followed.
func (b *anthropicBlock) citations() []byte {
	all := []byte{'['}
	for citation := range strictjson.Elements(strictjson.ValueOf(b.head, "citations")) {
		all = append(append(all, citation...), ',')
	}
	return append(append(all, b.list...), ']')
}
