package protocol

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/tidwall/sjson"

	"github.com/ringback/ringback/internal/strictjson"
)

// openai is the protocol of chat completions: POST …/chat/completions, as OpenAI and very
// many others speak it. openai_stream.go assembles its stream.
type openai struct{}

func (openai) HTTP() HTTP {
	return HTTP{
		Endpoint: openaiEndpoint,
		Authorize: func(header http.Header, key, _ string) {
			if key != "" { // a private server may need none
				header.Set("Authorization", "Bearer "+key)
			}
		},
		Extra: "stream_options",
	}
}

func (openai) Assemble(request []byte) Assembly { return newOpenAIAnswer(request) }

func (openai) Content(message []byte) []byte { return openaiContent(message) }

// openaiEndpoint adds /v1 only to a bare host: after a path, each maker has its own
// version, or none.
func openaiEndpoint(base string) string {
	// A base URL that includes too much of the path is a common slip.
	base = strings.TrimRight(strings.TrimSuffix(base, "/chat/completions"), "/")
	if u, err := url.Parse(base); err == nil && u.Path == "" {
		base += "/v1"
	}
	return base + "/chat/completions"
}

// reasonsFirst matches the models that refuse max_tokens and require max_completion_tokens,
// which many other servers do not know: OpenAI's o1 and later, gpt-5 and later. A name may
// have a maker's prefix, as in openai/o3, or "ft:" if fine-tuned.
var reasonsFirst = regexp.MustCompile(`^(?:ft:|.*/)?(?:o[1-9]|gpt-[5-9])(?:[^0-9].*)?$`)

// The two names for the bound of an answer.
const maxTokens, maxCompletionTokens = "max_tokens", "max_completion_tokens"

func (openai) Encode(p Prompt) (json.RawMessage, error) {
	r := newEncoder(p)
	switch {
	case !strictjson.Absent(p.Params[maxCompletionTokens]): // the caller has chosen
	case reasonsFirst.MatchString(p.Model):
		r.member(maxCompletionTokens, p.maxTokens())
	default:
		r.member(maxTokens, p.maxTokens())
	}
	r.messages(p.System)
	return r.end(), nil
}

func (openai) Stream(request []byte, model string, plain bool) ([]byte, error) {
	stored := request
	request, err := askStream(request, model)
	if err != nil {
		return nil, err
	}
	if bound := strictjson.Get(stored, maxTokens); bound.Exists() && reasonsFirst.MatchString(model) && strictjson.Get(stored, "model").Str != model {
		request = strictjson.AppendObject(nil, strictjson.Without(request, maxTokens), strictjson.Field{Name: maxCompletionTokens, Value: []byte(bound.Raw)})
	}
	if plain {
		return request, nil
	}
	if options := strictjson.Get(request, "stream_options"); options.Exists() && !options.IsObject() {
		request = strictjson.Without(request, "stream_options")
	}
	request, err = sjson.SetRawBytes(request, "stream_options.include_usage", []byte("true"))
	if err != nil {
		return nil, fmt.Errorf("ask for the usage: %w", err)
	}
	return request, nil
}

func openaiContent(message []byte) []byte {
	for choice := range strictjson.Elements(strictjson.ValueOf(message, "choices")) {
		return strictjson.ValueOf(strictjson.ValueOf(choice, "message"), "content") // of the first
	}
	return nil
}
