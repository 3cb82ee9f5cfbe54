package provider

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// openai is the protocol of chat completions: POST …/chat/completions, as OpenAI
// and very many others speak it. Its stream is put together in openai_stream.go.
func openai() protocol {
	return protocol{
		endpoint: openaiEndpoint,
		authorize: func(header http.Header, key string) {
			if key != "" { // a private server may need none
				header.Set("Authorization", "Bearer "+key)
			}
		},
		encode:    encodeOpenAI,
		streamed:  streamedOpenAI,
		extra:     "stream_options",
		assemble:  newOpenAIAnswer,
		text:      openaiText,
		complaint: openaiComplaint,
		reset:     openaiReset,
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
	fields := []field{{"model", quote(p.Model)}}
	switch {
	case !absent(p.Params[maxCompletionTokens]): // the caller has chosen
	case thinksFirst.MatchString(p.Model):
		fields = append(fields, field{maxCompletionTokens, p.maxTokens()})
	default:
		fields = append(fields, field{maxTokens, p.maxTokens()})
	}
	messages := p.messages()
	if !absent(p.System) {
		messages = prepend(appendObject(nil, []byte(`{"role":"system"}`), field{"content", p.System}), messages)
	}
	fields = append(fields, field{"messages", messages})
	return appendObject(nil, []byte("{}"), append(fields, p.params()...)...), nil
}

// prepend puts an item at the front of a list, which stays as it is.
func prepend(item, list []byte) []byte {
	rest := strings.TrimLeft(string(list), " \t\r\n")[len("["):]
	if len(gjson.ParseBytes(list).Array()) > 0 {
		item = append(item, ',')
	}
	return slices.Concat([]byte{'['}, item, []byte(rest))
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

func openaiText(message []byte) (string, error) {
	if !valid(message) {
		return "", errors.New("the message is not JSON")
	}
	return contentText(gjson.GetBytes(message, "choices.0.message").Get("content")), nil
}

// openaiStatus gives the HTTP status that a code or a type stands for, of OpenAI
// and of servers after it. Within a stream it comes after the status 200 and is
// often all there is.
var openaiStatus = map[string]int{
	"invalid_request_error": http.StatusBadRequest,
	"BadRequestError":       http.StatusBadRequest, // vLLM
	"invalid_api_key":       http.StatusUnauthorized,
	"authentication_error":  http.StatusUnauthorized,
	"AuthenticationError":   http.StatusUnauthorized,
	"permission_error":      http.StatusForbidden,
	"permission_denied":     http.StatusForbidden,
	"not_found_error":       http.StatusNotFound,
	"NotFoundError":         http.StatusNotFound,
	"rate_limit_exceeded":   http.StatusTooManyRequests,
	"rate_limit_error":      http.StatusTooManyRequests,
	"RateLimitError":        http.StatusTooManyRequests,
	"requests":              http.StatusTooManyRequests, // the type names the limit
	"tokens":                http.StatusTooManyRequests,
	"server_error":          http.StatusInternalServerError,
	"api_error":             http.StatusInternalServerError,
	"InternalServerError":   http.StatusInternalServerError,
	"timeout":               http.StatusGatewayTimeout,
	"overloaded":            statusOverloaded,
	"overloaded_error":      statusOverloaded,
	"engine_overloaded":     statusOverloaded,
	"unavailable_error":     statusOverloaded, // llama.cpp, while it loads the model
}

// What a code or a type says whatever its status is.
var (
	ofTheAccount = []string{
		"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "account_deactivated", "exceeded_current_quota_error",
	}
	ofTheModel = []string{
		"model_not_found", "model_not_available", "invalid_model", "DeploymentNotFound",
	}
	ofTheRequest = []string{
		"context_length_exceeded", "exceed_context_size_error", "string_above_max_length", "invalid_prompt",
		"content_filter", "content_policy_violation",
	}
)

// openaiComplaint reads {"error":{"message":…,"type":…,"param":…,"code":…}}, and
// the looser forms of others: a sentence as error, error's members at the top, a
// list of one, the detail of FastAPI.
func openaiComplaint(body []byte) (complaint, bool) {
	if !valid(body) {
		return complaint{}, false
	}
	top := gjson.ParseBytes(body)
	if top.IsArray() {
		top = top.Get("0")
	}
	said := top.Get("error")
	if !said.IsObject() {
		said = top
	}
	code, kind := said.Get("code"), said.Get("type").Str
	c := complaint{kind: kind}
	if code.Type == gjson.String && code.Str != "" {
		c.kind = code.Str
	}
	for _, text := range []gjson.Result{said.Get("message"), top.Get("error"), top.Get("detail")} {
		if c.message == "" && text.Type != gjson.Null {
			c.message = text.String()
		}
	}
	if c.kind == "" && c.message == "" {
		return complaint{}, false
	}
	words := []string{c.kind, kind}
	c.status = cmp.Or(openaiStatus[c.kind], openaiStatus[kind], statusOf(code))
	c.account = speaksOf(ofTheAccount, words)
	c.request = speaksOf(ofTheRequest, words) || said.Get("metadata.reasons").IsArray() // OpenRouter's moderation, a 403
	return c.readMessage(words), true
}

// statusOf is a status that stands as the code.
func statusOf(code gjson.Result) int {
	n, _ := strconv.Atoi(code.String())
	if n < 400 || n > 599 {
		return 0
	}
	return n
}

func speaksOf(known, words []string) bool {
	return slices.ContainsFunc(words, func(word string) bool { return slices.Contains(known, word) })
}

// readMessage finds what only the message says. Texts are matched from their
// beginning, since further on they may quote the request.
func (c complaint) readMessage(words []string) complaint {
	message := strings.ToLower(c.message)
	begins := func(with ...string) bool {
		return slices.ContainsFunc(with, func(s string) bool { return strings.HasPrefix(message, s) })
	}
	switch {
	case speaksOf(ofTheModel, words), begins("model not exist", "invalid model"):
		c.model, c.status = true, http.StatusNotFound
	case begins("request too large for"): // a limit by the minute that the request alone is over
		c.request = true
	case begins("the engine is currently overloaded", "the server is currently overloaded", "that model is currently overloaded"):
		c.status = statusOverloaded
	default: // it counts with a 404 alone
		c.model = strings.Contains(message, "model")
	}
	return c
}

// openaiReset reads the headers of the limits that there are: 6m0s, 20ms, or
// seconds.
func openaiReset(header http.Header, _ time.Time) time.Duration {
	var limits []rateLimit
	for _, limit := range []string{"requests", "tokens"} {
		text := header.Get("x-ratelimit-reset-" + limit)
		reset, err := time.ParseDuration(text)
		if err != nil {
			reset, err = time.ParseDuration(text + "s")
		}
		if err == nil {
			limits = append(limits, rateLimit{used: header.Get("x-ratelimit-remaining-"+limit) == "0", reset: reset})
		}
	}
	return untilReset(limits)
}
