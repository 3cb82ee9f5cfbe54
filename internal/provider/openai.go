package provider

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/tidwall/sjson"
)

// openai is the protocol of chat completions: POST …/chat/completions, as OpenAI
// and very many others speak it. Its stream is put together in openai_stream.go.
func openai() protocol {
	return protocol{
		endpoint: openaiEndpoint,
		authorize: func(header http.Header, key, _ string) {
			if key != "" { // a private server may need none
				header.Set("Authorization", "Bearer "+key)
			}
		},
		encode:   encodeOpenAI,
		streamed: streamedOpenAI,
		extra:    "stream_options",
		assemble: newOpenAIAnswer,
		content:  openaiContent,
	}
}

// openaiEndpoint adds /v1 to a bare host alone: behind a path, each maker has a
// version of its own, or none.
func openaiEndpoint(base string) string {
	// A base that goes further than it should is a common slip.
	base = strings.TrimRight(strings.TrimSuffix(base, "/chat/completions"), "/")
	if u, err := url.Parse(base); err == nil && u.Path == "" {
		base += "/v1"
	}
	return base + "/chat/completions"
}

// thinksFirst are the models that refuse max_tokens and want
// max_completion_tokens, which many other servers do not know: OpenAI's o1 and
// later, gpt-5 and later. A name may have a maker before it, as in openai/o3, or
// "ft:" of a fine-tuned one.
var thinksFirst = regexp.MustCompile(`^(?:ft:|.*/)?(?:o[1-9]|gpt-[5-9])(?:[^0-9].*)?$`)

// The two names of the bound of an answer.
const maxTokens, maxCompletionTokens = "max_tokens", "max_completion_tokens"

func encodeOpenAI(p Prompt) (json.RawMessage, error) {
	r := newEncoder(p)
	switch {
	case !absent(p.Params[maxCompletionTokens]): // the caller has chosen
	case thinksFirst.MatchString(p.Model):
		r.member(maxCompletionTokens, p.maxTokens())
	default:
		r.member(maxTokens, p.maxTokens())
	}
	r.messages(p.System)
	return r.end(), nil
}

func streamedOpenAI(request []byte, model string, plain bool) ([]byte, error) {
	stored := request
	request, err := askStream(request, model)
	if err != nil {
		return nil, err
	}
	if bound := member(stored, maxTokens); bound.Exists() && thinksFirst.MatchString(model) && member(stored, "model").Str != model {
		request = appendObject(nil, without(request, maxTokens), field{maxCompletionTokens, []byte(bound.Raw)})
	}
	if plain {
		return request, nil
	}
	if options := member(request, "stream_options"); options.Exists() && !options.IsObject() {
		request = without(request, "stream_options")
	}
	request, err = sjson.SetRawBytes(request, "stream_options.include_usage", []byte("true"))
	if err != nil {
		return nil, fmt.Errorf("ask for the usage: %w", err)
	}
	return request, nil
}

func openaiContent(message []byte) []byte {
	for choice := range items(valueOf(message, "choices")) {
		return valueOf(valueOf(choice, "message"), "content") // of the first
	}
	return nil
}
