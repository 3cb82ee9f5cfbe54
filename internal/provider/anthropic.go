package provider

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/tidwall/gjson"
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
		authorize: func(header http.Header, key string) {
			if key != "" { // a private server may need none
				header.Set("x-api-key", key)
			}
			header.Set("anthropic-version", "2023-06-01")
		},
		encode:    encodeAnthropic,
		streamed:  func(request []byte, model string, _ bool) ([]byte, error) { return askStream(request, model) },
		assemble:  func([]byte) assembler { return new(anthropicAnswer) },
		text:      anthropicText,
		complaint: anthropicComplaint,
		reset:     anthropicReset,
	}
}

func encodeAnthropic(p Prompt) (json.RawMessage, error) {
	fields := []field{{"model", quote(p.Model)}, {"max_tokens", p.maxTokens()}}
	if !absent(p.System) {
		fields = append(fields, field{"system", p.System})
	}
	fields = append(fields, field{"messages", p.messages()})
	return appendObject(nil, []byte("{}"), append(fields, p.params()...)...), nil
}

func anthropicText(message []byte) (string, error) {
	if !valid(message) {
		return "", errors.New("the message is not JSON")
	}
	content := gjson.GetBytes(message, "content")
	if !content.IsArray() {
		return "", nil
	}
	return contentText(content), nil
}

// anthropicStatus gives the HTTP status that an error type stands for. Within a
// stream it comes after the status 200 and is all there is.
var anthropicStatus = map[string]int{
	"invalid_request_error": http.StatusBadRequest,
	"authentication_error":  http.StatusUnauthorized,
	"billing_error":         http.StatusPaymentRequired,
	"permission_error":      http.StatusForbidden,
	"not_found_error":       http.StatusNotFound,
	"conflict_error":        http.StatusConflict,
	"request_too_large":     http.StatusRequestEntityTooLarge,
	"rate_limit_error":      http.StatusTooManyRequests,
	"api_error":             http.StatusInternalServerError,
	"timeout_error":         http.StatusGatewayTimeout,
	"overloaded_error":      statusOverloaded,
}

// anthropicComplaint reads {"type":"error","error":{"type":…,"message":…},"request_id":…},
// and the looser forms of gateways that speak the protocol.
func anthropicComplaint(body []byte) (complaint, bool) {
	if !valid(body) {
		return complaint{}, false
	}
	said := gjson.GetBytes(body, "error")
	c := complaint{
		kind:      said.Get("type").Str,
		message:   said.Get("message").Str,
		requestID: gjson.GetBytes(body, "request_id").Str,
	}
	if said.Type == gjson.String { // {"error":"a sentence"}
		c.message = said.Str
	}
	if c.kind == "" && c.message == "" {
		return complaint{}, false
	}
	c.status = anthropicStatus[c.kind]
	c.account = speaksOfCredit(c, said)
	c.model = c.kind == "not_found_error" || said.Get("code").Str == "model_not_found" ||
		strings.Contains(strings.ToLower(c.message), "model")
	return c, true
}

// speaksOfCredit knows the refusals that no waiting for a limit ends. The texts
// are matched from their beginning: elsewhere a message may quote the request,
// whose author must not be able to hold the key for everybody.
func speaksOfCredit(c complaint, said gjson.Result) bool {
	switch {
	case c.kind == "billing_error":
		return true
	case said.Get("details.error_code").Str == "enforced_spend_limit_reached": // a 429
		return true
	case c.kind != "invalid_request_error":
		return false
	}
	message := strings.ToLower(c.message)
	return strings.HasPrefix(message, "your credit balance is too low") ||
		strings.HasPrefix(message, "you have reached your specified")
}

// anthropicReset reads the headers of the limits that there are.
func anthropicReset(header http.Header, now time.Time) time.Duration {
	var limits []rateLimit
	for _, limit := range []string{"requests", "tokens", "input-tokens", "output-tokens"} {
		name := "anthropic-ratelimit-" + limit
		if at, err := time.Parse(time.RFC3339, header.Get(name+"-reset")); err == nil {
			limits = append(limits, rateLimit{used: header.Get(name+"-remaining") == "0", reset: at.Sub(now)})
		}
	}
	return untilReset(limits)
}
