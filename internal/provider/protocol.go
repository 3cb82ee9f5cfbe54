package provider

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
)

// protocol is all that differs between the languages of providers. Each stands
// in a file of its own, and nothing outside of it asks which one it is.
type protocol struct {
	// endpoint gives the address to call; base is a valid URL without a slash at
	// its end.
	endpoint func(base string) string
	// authorize sets the headers that carry the key and the protocol's version.
	authorize func(header http.Header, key, version string)
	// encode makes the provider's request of a checked prompt.
	encode func(Prompt) (json.RawMessage, error)
	// streamed turns a stored request into one that asks for a stream, and for
	// model if that is not "". The stored one stays as it is. A plain one has no
	// extra.
	streamed func(request []byte, model string, plain bool) ([]byte, error)
	// extra is a field that streamed adds and that some servers refuse, though
	// they can do without; "" if there is none.
	extra string
	// assemble starts to put the answer to a request together.
	assemble func(request []byte) assembler
	// content gives the content of a whole message that has its text.
	content func(message []byte) []byte
}

// assembler puts one answer together. It is an interface because each protocol
// has a state of its own.
type assembler interface {
	// add takes the next event. done means that the answer is whole. The error
	// is a complaint if the provider broke off with one, else it says in what
	// way the stream is garbage.
	add(event sse.Event) (done bool, err error)
	// ended reports whether the answer is whole even if nothing follows: some servers
	// leave out the event that says so.
	ended() bool
	// finishes reports whether the answer is whole with the event of this data, which is
	// JSON.
	finishes(data []byte) bool
	// replace takes the message of a provider that answered without streaming.
	replace(message []byte) error
	// begun says whether anything of the answer itself has come.
	begun() bool
	// tell tells what has come since the last time.
	tell(t teller)
	// size is the number of bytes that are held.
	size() int
	// message builds the whole message.
	message() json.RawMessage
	// text, model and usage give what has come so far; usage is nil if none has.
	text() string
	model() string
	usage() json.RawMessage
}

var protocols = map[string]protocol{"anthropic": anthropic(), "openai": openai()}

// Protocols are the names of all protocols, sorted.
func Protocols() []string { return slices.Sorted(maps.Keys(protocols)) }

func lookup(name string) (protocol, error) {
	p, ok := protocols[name]
	if !ok {
		return p, fmt.Errorf("protocol %q is not one of %s", name, strings.Join(Protocols(), ", "))
	}
	return p, nil
}

// DefaultMaxTokens bounds an answer where the caller names no bound.
const DefaultMaxTokens = 4096

// Prompt is the native request, in so far as the provider is to see it.
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

// EncodeRequest makes the provider's request, as it is stored and as Generate
// takes it. Values pass verbatim, numbers too. An error about a field of the
// prompt is a *ringback.Error that names it.
func EncodeRequest(protocol string, prompt Prompt) (json.RawMessage, error) {
	p, err := lookup(protocol)
	if err != nil {
		return nil, err
	}
	if err := prompt.check(); err != nil {
		return nil, err
	}
	return p.encode(prompt)
}

// reserved are the fields that the native request sets by other names, or that
// are ours to set.
var reserved = []string{"max_tokens", "messages", "model", "stream", "system"}

func (p Prompt) check() error {
	if p.Model == "" {
		return ringback.Invalid("model", "model is required")
	}
	if (p.Prompt == "") == absent(p.Messages) {
		return ringback.Invalid("prompt", "exactly one of prompt and messages is required")
	}
	if !absent(p.Messages) {
		if !valid(p.Messages) {
			return ringback.Invalid("messages", "messages must be an array")
		}
		if err := checkMessages(p.Messages); err != nil {
			return err
		}
	}
	if !absent(p.System) && (!valid(p.System) || !strings.ContainsRune(`"[`, rune(firstByte(p.System)))) {
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
		if !valid(p.Params[name]) {
			return ringback.Invalid(field, field+" must be JSON")
		}
	}
	return nil
}

// askStream turns a stored request into one that asks for a stream, and for
// model if that is not "".
func askStream(request []byte, model string) ([]byte, error) {
	if firstByte(request) != '{' {
		return nil, errors.New("the request is not a JSON object")
	}
	if model != "" && member(request, "model").Str != model {
		var err error
		if request, err = sjson.SetRawBytes(request, "model", quote(model)); err != nil {
			return nil, fmt.Errorf("set the model: %w", err)
		}
	}
	request, err := sjson.SetRawBytes(request, "stream", []byte("true"))
	if err != nil {
		return nil, fmt.Errorf("ask for a stream: %w", err)
	}
	return request, nil
}

// Text gives the text of a stored message, "" if there is none: all text blocks
// joined, or the content of the first choice.
func Text(protocol string, message json.RawMessage) (string, error) {
	parts, err := TextParts(protocol, message)
	if err != nil {
		return "", err
	}
	return joined(parts), nil
}

// joined is the text of several JSON strings.
func joined(parts iter.Seq[[]byte]) string {
	var text strings.Builder
	for part := range parts {
		text.Write(meaning(part))
	}
	return text.String()
}

// TextParts are the JSON strings of a stored message that are its text, as they stand
// there: [Text] for a message that is too long to be copied.
func TextParts(protocol string, message json.RawMessage) (iter.Seq[[]byte], error) {
	p, err := lookup(protocol)
	if err != nil {
		return nil, err
	}
	if !valid(message) {
		return nil, errors.New("the message is not JSON")
	}
	return contentParts(p.content(message)), nil
}

// contentParts are the JSON strings of a message's content that are its text.
func contentParts(content []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if firstByte(content) == '"' {
			yield(content)
		}
		for block := range items(content) {
			if string(meaning(valueOf(block, "type"))) != "text" {
				continue
			}
			if text := valueOf(block, "text"); firstByte(text) == '"' && !yield(text) {
				return
			}
		}
	}
}

// contentText is the text of a message's content: a string, or a list of blocks.
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

// CheckRequest checks the form that a request of any protocol has, as it is
// stored, and gives its model. The error is a *ringback.Error that names the field.
func CheckRequest(request json.RawMessage) (model string, err error) {
	if !valid(request) || firstByte(request) != '{' {
		return "", ringback.Invalid("", "the request must be a JSON object")
	}
	name := member(request, "model")
	switch {
	case name.Type != gjson.String || name.Str == "":
		return "", ringback.Invalid("model", "model must be the name of a model")
	case valueOf(request, "stream") != nil:
		return "", ringback.Invalid("stream", "stream is Ringback's to set; leave it out")
	}
	return name.Str, checkMessages(valueOf(request, "messages"))
}

// checkMessages checks a conversation, which is valid JSON or nothing.
func checkMessages(messages []byte) error {
	if firstByte(messages) != '[' {
		return ringback.Invalid("messages", "messages must be an array")
	}
	n := 0
	for message := range items(messages) {
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
