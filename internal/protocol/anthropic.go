package protocol

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/ringback/ringback/internal/strictjson"
)

// anthropic is the Messages protocol: POST /v1/messages. anthropic_stream.go assembles its
// stream.
type anthropic struct{}

func (anthropic) HTTP() HTTP {
	return HTTP{
		Endpoint: func(base string) string {
			// A base URL that includes too much of the path is a common slip.
			base = strings.TrimSuffix(strings.TrimSuffix(base, "/messages"), "/v1")
			return base + "/v1/messages"
		},
		Authorize: func(header http.Header, key, version string) {
			if key != "" { // a private server may need none
				header.Set("x-api-key", key)
			}
			header.Set(AnthropicVersionHeader, version)
		},
	}
}

func (anthropic) Encode(p Prompt) (json.RawMessage, error) {
	r := newEncoder(p)
	r.member("max_tokens", p.maxTokens())
	if !strictjson.Absent(p.System) {
		r.member("system", p.System)
	}
	r.messages(nil)
	return r.end(), nil
}

func (anthropic) Stream(request []byte, model string, _ bool) ([]byte, error) {
	return askStream(request, model)
}

func (anthropic) Assemble([]byte) Assembly { return new(anthropicAnswer) }

func (anthropic) Content(message []byte) []byte { return anthropicContent(message) }

func anthropicContent(message []byte) []byte {
	content := strictjson.ValueOf(message, "content")
	if strictjson.FirstByte(content) != '[' {
		return nil
	}
	return content
}

// The header with the protocol's version, and the version that is sent where neither the
// request nor its provider's configuration names one.
const (
	AnthropicVersionHeader  = "anthropic-version"
	DefaultAnthropicVersion = "2023-06-01" // the newest for which the tests have streams
)
