package provider

import (
	"encoding/json"
	"net/http"
	"strings"
)

// anthropic is the Messages protocol: POST /v1/messages. Its stream is put
// together in anthropic_stream.go.
func anthropic() protocol {
	return protocol{
		endpoint: func(base string) string {
			// A base that goes further than it should is a common slip.
			base = strings.TrimSuffix(strings.TrimSuffix(base, "/messages"), "/v1")
			return base + "/v1/messages"
		},
		authorize: func(header http.Header, key, version string) {
			if key != "" { // a private server may need none
				header.Set("x-api-key", key)
			}
			header.Set(headerAnthropicVersion, version)
		},
		encode:   encodeAnthropic,
		streamed: func(request []byte, model string, _ bool) ([]byte, error) { return askStream(request, model) },
		assemble: func([]byte) assembler { return new(anthropicAnswer) },
		content:  anthropicContent,
	}
}

func encodeAnthropic(p Prompt) (json.RawMessage, error) {
	r := newEncoder(p)
	r.member("max_tokens", p.maxTokens())
	if !absent(p.System) {
		r.member("system", p.System)
	}
	r.messages(nil)
	return r.end(), nil
}

func anthropicContent(message []byte) []byte {
	content := valueOf(message, "content")
	if firstByte(content) != '[' {
		return nil
	}
	return content
}
