package protocol

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/sse"
	"github.com/ringback/ringback/internal/strictjson"
)

// A Dialect is one protocol of providers, in both directions. Its methods are pure: they
// make no calls, and keep nothing.
type Dialect interface {
	// Encode returns the provider's request for a prompt that has been checked.
	Encode(Prompt) (json.RawMessage, error)
	// Stream returns a stored request in the form that is sent: it asks for a stream, and
	// for model unless that is "". The stored request stays unchanged. A plain one has no
	// [HTTP.Extra].
	Stream(request []byte, model string, plain bool) ([]byte, error)
	// Assemble begins to assemble the answer to a request.
	Assemble(request []byte) Assembly
	// Content returns the content of a whole message that holds its text, nil if there is
	// none.
	Content(message []byte) []byte
	// Render returns the events of the stream with the given log, each as it is sent: an
	// [Assembly] of them has the log's message. The log may still grow.
	Render(log iter.Seq[Piece]) iter.Seq[[]byte]
	// HTTP returns how the protocol is spoken over HTTP.
	HTTP() HTTP
}

// HTTP is how a protocol is spoken over HTTP.
type HTTP struct {
	// Endpoint returns the address to call; base is a valid URL without a slash at
	// its end.
	Endpoint func(base string) string
	// Authorize sets the headers that carry the key and the protocol's version.
	Authorize func(header http.Header, key, version string)
	// Extra is an optional field that Stream adds and that some servers refuse; "" if there
	// is none.
	Extra string
}

// An Assembly assembles one answer from its stream. Each protocol has its own state.
type Assembly interface {
	// Add takes the next event. done means that the answer is whole. The error is an
	// [apierror.Error] if the provider broke off with one; any other error describes what is
	// wrong with the stream.
	Add(event sse.Event) (done bool, err error)
	// Finishes reports whether the event with this data, which is JSON, makes the answer
	// whole.
	Finishes(data []byte) bool
	// Replace sets the message of a provider that answered without streaming.
	Replace(message []byte) error
	// Emit emits what has arrived since the last time.
	Emit(Emitter)
	// Progress returns how far the answer has come.
	Progress() Progress
	// Message builds the whole message.
	Message() json.RawMessage
	// Summary returns what has arrived so far.
	Summary() Summary
}

// Progress is how far an answer has come.
type Progress struct {
	Begun bool // part of the answer itself has arrived
	// Whole: the answer is whole even if nothing follows. Some servers omit the event that
	// ends the stream.
	Whole bool
	Size  int // bytes that are held
}

// Summary is what is known of an answer, whole or not.
type Summary struct {
	Text  string
	Model string
	Usage json.RawMessage // nil if none has arrived
}

var dialects = map[string]Dialect{"anthropic": anthropic{}, "openai": openai{}}

// Names returns the names of all protocols, sorted.
func Names() []string { return slices.Sorted(maps.Keys(dialects)) }

// Lookup returns the dialect with that name. Its error lists the known names.
func Lookup(name string) (Dialect, error) {
	d, ok := dialects[name]
	if !ok {
		return nil, fmt.Errorf("protocol %q is not one of %s", name, strings.Join(Names(), ", "))
	}
	return d, nil
}

// DefaultMaxTokens bounds an answer where the caller names no bound.
const DefaultMaxTokens = 4096

// Prompt is the part of a native request that the provider sees.
type Prompt struct {
	Model string // required
	// Exactly one of Prompt and Messages is given; Messages is passed on verbatim.
	Prompt   string
	Messages json.RawMessage
	// System is a string or the provider's own form; nil or null for none.
	System json.RawMessage
	// MaxTokens bounds the answer; 0 means DefaultMaxTokens.
	MaxTokens int
	// Params are further fields, passed on verbatim in the order of their names.
	Params map[string]json.RawMessage
}

func (p Prompt) maxTokens() []byte {
	return strconv.AppendInt(nil, int64(cmp.Or(p.MaxTokens, DefaultMaxTokens)), 10)
}

// EncodeRequest returns the provider's request as it is stored. Values, including numbers,
// pass verbatim. An error about a field of the prompt is a *ringback.Error that names it.
func EncodeRequest(protocol string, prompt Prompt) (json.RawMessage, error) {
	p, err := Lookup(protocol)
	if err != nil {
		return nil, err
	}
	if err := prompt.check(); err != nil {
		return nil, err
	}
	return p.Encode(prompt)
}

// reserved are the fields that the native request sets under other names, or that we set
// ourselves.
var reserved = []string{"max_tokens", "messages", "model", "stream", "system"}

func (p Prompt) check() error {
	if p.Model == "" {
		return ringback.Invalid("model", "model is required")
	}
	if (p.Prompt == "") == strictjson.Absent(p.Messages) {
		return ringback.Invalid("prompt", "exactly one of prompt and messages is required")
	}
	if !strictjson.Absent(p.Messages) {
		if !strictjson.Valid(p.Messages) {
			return ringback.Invalid("messages", "messages must be an array")
		}
		if err := checkMessages(p.Messages); err != nil {
			return err
		}
	}
	if !strictjson.Absent(p.System) && (!strictjson.Valid(p.System) || !strings.ContainsRune(`"[`, rune(strictjson.FirstByte(p.System)))) {
		return ringback.Invalid("system", "system must be a string or an array")
	}
	if p.MaxTokens < 0 {
		return ringback.Invalid("max_tokens", "max_tokens must be a positive number")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Params)) {
		field := "params." + name
		if slices.Contains(reserved, name) {
			return ringback.Invalid(field, fmt.Sprintf("params may not hold %s: params are further fields of the provider's request, other than %s", name, strings.Join(reserved, ", ")))
		}
		if !strictjson.Valid(p.Params[name]) {
			return ringback.Invalid(field, field+" must be JSON")
		}
	}
	return nil
}

// askStream turns a stored request into one that asks for a stream, and for
// model if that is not "".
func askStream(request []byte, model string) ([]byte, error) {
	if strictjson.FirstByte(request) != '{' {
		return nil, errors.New("the request is not a JSON object")
	}
	if model != "" && strictjson.Get(request, "model").Str != model {
		var err error
		if request, err = sjson.SetRawBytes(request, "model", strictjson.Quote(model)); err != nil {
			return nil, fmt.Errorf("set the model: %w", err)
		}
	}
	request, err := sjson.SetRawBytes(request, "stream", []byte("true"))
	if err != nil {
		return nil, fmt.Errorf("ask for a stream: %w", err)
	}
	return request, nil
}

// Text returns the text of a stored message, "" if there is none: all text blocks
// joined, or the content of the first choice.
func Text(protocol string, message json.RawMessage) (string, error) {
	parts, err := TextParts(protocol, message)
	if err != nil {
		return "", err
	}
	return joined(parts), nil
}

// joined returns the text of several JSON strings.
func joined(parts iter.Seq[[]byte]) string {
	var text strings.Builder
	for part := range parts {
		text.Write(strictjson.String(part))
	}
	return text.String()
}

// TextParts returns the JSON strings of a stored message that are its text, without copying
// them: [Text] for a message that is too long to be copied.
func TextParts(protocol string, message json.RawMessage) (iter.Seq[[]byte], error) {
	p, err := Lookup(protocol)
	if err != nil {
		return nil, err
	}
	if !strictjson.Valid(message) {
		return nil, errors.New("the message is not JSON")
	}
	return contentParts(p.Content(message)), nil
}

// contentParts returns the JSON strings of a message's content that are its text.
func contentParts(content []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if strictjson.FirstByte(content) == '"' {
			yield(content)
		}
		for block := range strictjson.Elements(content) {
			if string(strictjson.String(strictjson.ValueOf(block, "type"))) != "text" {
				continue
			}
			if text := strictjson.ValueOf(block, "text"); strictjson.FirstByte(text) == '"' && !yield(text) {
				return
			}
		}
	}
}

// contentText returns the text of a message's content: a string, or a list of blocks.
func contentText(content gjson.Result) string {
	if !content.IsArray() {
		return content.Str
	}
	var text strings.Builder
	content.ForEach(func(_, block gjson.Result) bool {
		if block.Get("type").Str == "text" {
			text.WriteString(block.Get("text").Str)
		}
		return true
	})
	return text.String()
}

// CheckRequest checks what stored requests of all protocols have in common, and returns the
// model. The error is a *ringback.Error that names the field.
func CheckRequest(request json.RawMessage) (model string, err error) {
	if !strictjson.Valid(request) || strictjson.FirstByte(request) != '{' {
		return "", ringback.Invalid("", "the request must be a JSON object")
	}
	name := strictjson.Get(request, "model")
	switch {
	case name.Type != gjson.String || name.Str == "":
		return "", ringback.Invalid("model", "model must be the name of a model")
	case strictjson.ValueOf(request, "stream") != nil:
		return "", ringback.Invalid("stream", "stream is Ringback's to set; leave it out")
	}
	return name.Str, checkMessages(strictjson.ValueOf(request, "messages"))
}

// checkMessages checks a conversation, which is valid JSON or empty.
func checkMessages(messages []byte) error {
	if strictjson.FirstByte(messages) != '[' {
		return ringback.Invalid("messages", "messages must be an array")
	}
	n := 0
	for message := range strictjson.Elements(messages) {
		if message[0] != '{' {
			field := fmt.Sprintf("messages[%d]", n)
			return ringback.Invalid(field, field+" must be an object")
		}
		n++
	}
	if n == 0 {
		return ringback.Invalid("messages", "messages must hold at least one message")
	}
	return nil
}

// IsStreamed reports whether an object is the first of a stream whose events are separate
// lines, without any framing.
func IsStreamed(object []byte) bool {
	choice := gjson.GetBytes(object, "choices.0")
	return choice.Get("delta").IsObject() && !choice.Get("message").IsObject() || strictjson.Get(object, "type").Str == "message_start"
}
