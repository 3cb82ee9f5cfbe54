package apierror

import (
	"bytes"
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/strictjson"
)

// Error is an error as a provider's API describes it.
type Error struct {
	Type      string // the provider's own name for the error
	Message   string
	RequestID string
	// Status is the HTTP status that the type means, 0 if unknown.
	Status int
	// Subject is what the error is about, whatever its status is; "" if unknown.
	Subject Subject
	// NamesModel: the message mentions a model. It only matters with a 404.
	NamesModel bool
	// header are headers that a gateway passes on within the body.
	header http.Header
	// retryDelay is the time to wait that the body names, 0 if none.
	retryDelay time.Duration
}

// Error implements error: Error is what ends a stream.
func (c Error) Error() string { return c.Type + ": " + c.Message }

// Subject is what an error is about. It decides what has to wait: the key, the model or
// nothing.
type Subject string

// The subjects.
const (
	AboutAccount Subject = "account" // our key or our credit
	AboutModel   Subject = "model"   // there is no such model, or none for us
	AboutRequest Subject = "request" // this request alone
)

// Read reads the body of an error, or the chunk of a stream that is one, in
// the forms of both protocols and of the servers that speak them loosely: an object
// or a sentence as error, its members at the top, a list of one, the detail of
// FastAPI, MiniMax's base_resp. status is the response's. ok is false if the body is
// none of these.
func Read(status int, body []byte) (c Error, ok bool) {
	if !strictjson.Valid(body) {
		return Error{}, false
	}
	top := gjson.ParseBytes(body)
	switch {
	case top.Type == gjson.String:
		return Error{Message: strings.TrimSpace(top.Str)}, true
	case top.IsArray():
		top = top.Get("0")
	}
	said := innermost(top)
	c = Error{Message: messageIn(said, top), RequestID: top.Get("request_id").Str, header: forwardedHeaders(said), retryDelay: delayInBody(said)}
	words := namesIn(said, top)
	for _, word := range words {
		c.Type = cmp.Or(c.Type, word)
		c.Status = cmp.Or(c.Status, statusOfName[normalize(word)])
	}
	for _, name := range []string{"code", "status", "status_code", "statusCode"} {
		c.Status = cmp.Or(c.Status, statusOf(said.Get(name)))
	}
	c.readBase(top.Get("base_resp"))
	if c.Type == "" && c.Message == "" {
		return Error{}, false
	}
	if status/100 == 2 {
		status = c.Status
	}
	c.Message = c.unwrapped(status)
	c.findSubject(status, words)
	if said.Get("metadata.reasons").IsArray() || said.Get("cloudflare_error").Bool() { // OpenRouter's moderation; a firewall
		c.Subject = cmp.Or(c.Subject, AboutRequest)
	}
	if raw := said.Get("metadata.raw"); raw.Type == gjson.String && strings.HasPrefix(c.Message, "Provider returned error") {
		c.appendUpstream(raw.Str)
	}
	return c, true
}

// innermost finds the object that has the error's members.
func innermost(top gjson.Result) gjson.Result {
	said := top
	const deepest = 4
next:
	for range deepest {
		for _, name := range []string{"error", "errors.0", "detail", "Response", "Error"} {
			if inner := said.Get(name); inner.IsObject() && (name != "detail" || !said.Get("message").Exists()) {
				said = inner
				continue next
			}
		}
		break
	}
	return said
}

// messageIn finds the message.
func messageIn(said, top gjson.Result) string {
	for _, name := range []string{"message", "Message", "msg", "error_description", "error_msg", "detail", "title", "error", "reason"} {
		if text := messageText(said.Get(name)); text != "" {
			return text
		}
	}
	return cmp.Or(messageText(top.Get("error")), messageText(top.Get("detail")), messageText(top.Get("message")), joinErrors(top.Get("errors")))
}

// joinErrors joins several errors into a text, from a list or keyed by field.
func joinErrors(errors gjson.Result) string {
	errors = small(errors)
	if !errors.IsObject() {
		return messageText(errors)
	}
	var texts []string
	errors.ForEach(func(name, said gjson.Result) bool {
		if text := messageText(said); text != "" {
			texts = append(texts, name.Str+": "+text)
		}
		return true
	})
	return strings.Join(texts, "; ")
}

// messageText returns as text what a server sends as a message: a string, or FastAPI's list
// of what is wrong.
func messageText(said gjson.Result) string {
	switch said = small(said); {
	case said.Type == gjson.String:
		return strings.TrimSpace(said.Str)
	case said.IsArray():
		var texts []string
		for _, item := range said.Array() {
			if text := messageText(item); text != "" {
				texts = append(texts, text)
			}
		}
		return strings.Join(texts, "; ")
	case said.IsObject():
		text := cmp.Or(messageText(said.Get("msg")), messageText(said.Get("message")), messageText(said.Get("detail")), messageText(said.Get("text")))
		var at []string
		for _, step := range said.Get("loc").Array() {
			at = append(at, step.String())
		}
		if text != "" && len(at) > 0 {
			return strings.Join(at, ".") + ": " + text
		}
		return text
	}
	return ""
}

// small returns a value that may be part of an error, and nothing if it is too large or too
// deeply nested for that: a provider determines its size.
func small(said gjson.Result) gjson.Result {
	const largest, deepest = 64 << 10, 10
	if len(said.Raw) > largest || strictjson.Depth([]byte(said.Raw)) > deepest {
		return gjson.Result{}
	}
	return said
}

// namesIn returns all the names that the error has, the most specific first.
func namesIn(said, top gjson.Result) []string {
	var words []string
	add := func(word gjson.Result) {
		if word.Type == gjson.String && word.Str != "" && word.Str != "error" && !slices.Contains(words, word.Str) {
			words = append(words, word.Str)
		}
	}
	for _, name := range []string{"code", "Code", "type", "status", "__type", "error_code", "innererror.code", "details.error_code"} {
		add(said.Get(name))
	}
	if details := small(said.Get("details")); details.IsArray() { // google.rpc.ErrorInfo
		for _, detail := range details.Array() {
			add(detail.Get("reason"))
		}
	}
	if said.Get("message").Exists() { // {"error":"invalid_request","message":…}
		add(top.Get("error"))
	}
	return words
}

// statusOf returns a status that is sent as a code.
func statusOf(code gjson.Result) int {
	n, _ := strconv.Atoi(code.String())
	if n < 400 || n > 599 {
		return 0
	}
	return n
}

// readBase reads the object that MiniMax adds to everything it sends.
func (c *Error) readBase(base gjson.Result) {
	code := base.Get("status_code").Int()
	if code == 0 {
		return
	}
	c.Type = cmp.Or(c.Type, strconv.FormatInt(code, 10))
	c.Message = cmp.Or(c.Message, messageText(base.Get("status_msg")))
	known := miniMaxCodes[code]
	c.Status = cmp.Or(c.Status, known.status)
	c.Subject = known.subject
}

var wrapping = regexp.MustCompile(`^(?:(?:litellm\.)?\w*(?:Error|Exception)(?: -|:)\s+|Error code: \d+ - )+`)

// unwrapped returns the message without what gateways put around the one that they
// received.
func (c *Error) unwrapped(status int) string {
	inside := strings.TrimSpace(wrapping.ReplaceAllString(c.Message, ""))
	if !strings.HasPrefix(inside, "{") {
		return c.Message
	}
	inner, ok := Read(status, []byte(inside))
	if !ok {
		return c.Message
	}
	c.Subject = cmp.Or(c.Subject, inner.Subject)
	return cmp.Or(inner.Message, c.Message)
}

// appendUpstream adds the error of the server behind a gateway. It is not about our account.
func (c *Error) appendUpstream(raw string) {
	if inner, ok := Read(c.Status, []byte(raw)); ok {
		raw = inner.Message
		if inner.Subject == AboutRequest {
			c.Subject = cmp.Or(c.Subject, AboutRequest)
		}
	}
	if raw = strings.TrimSpace(raw); raw != "" {
		c.Message += ": " + raw
	}
}

// forwardedHeaders returns the headers that OpenRouter puts into the body.
func forwardedHeaders(said gjson.Result) http.Header {
	header := http.Header{}
	for name, value := range small(said.Get("metadata.headers")).Map() {
		header.Set(name, value.String())
	}
	return header
}

// delayInBody finds a time to wait among the error's members: Google's RetryInfo, and
// others' equivalents.
func delayInBody(said gjson.Result) time.Duration {
	delays := []gjson.Result{said.Get("retry_after"), said.Get("retry_after_seconds"), said.Get("retryAfter")}
	if details := small(said.Get("details")); details.IsArray() {
		for _, detail := range details.Array() {
			delays = append(delays, detail.Get("retryDelay"))
		}
	}
	for _, delay := range delays {
		if wait, ok := backoff.Parse(delay.String(), time.Now()); ok && wait > 0 {
			return clamp(wait)
		}
	}
	return 0
}

// IsError reports whether a chunk is an error, or has one beside its other members.
func IsError(chunk []byte) bool {
	named, coded := errorSigns(chunk)
	return named || coded
}

// IsErrorEvent is IsError for an event. A named event may report progress with a code and a
// message: it is an error only if its name says so.
func IsErrorEvent(kind string, event []byte) bool {
	named, coded := errorSigns(event)
	return named || coded && (kind == "message" || kind == "error")
}

// errorSigns looks for what makes a chunk an error: it is named so, or has an error code
// and a reason.
func errorSigns(chunk []byte) (named, isCoded bool) {
	var coded, worded, answers bool
	for member := range strictjson.Members(chunk) {
		switch string(member.Name) {
		case "error":
			if !isNone(member.Value) {
				return true, false
			}
		case "object", "type":
			if string(strictjson.String(member.Value)) == "error" {
				return true, false
			}
		case "base_resp":
			if code := bytes.Trim(strictjson.ValueOf(member.Value, "status_code"), `"`); len(code) > 0 && string(code) != "0" && code[0] != 'n' {
				return true, false
			}
		case "code":
			coded = coded || isFailure(member.Value)
		case "status", "status_code", "statusCode":
			coded = coded || statusOf(gjson.ParseBytes(member.Value)) != 0
		case "message", "msg":
			worded = worded || member.Value[0] == '"'
		case "detail", "errors":
			if !isNone(member.Value) {
				coded, worded = true, true
			}
		case "choices", "content", "delta":
			answers = true
		}
	}
	return false, coded && worded && !answers
}

// Within returns the error that arrived within an answer.
func Within(data []byte) Error {
	c, ok := Read(http.StatusOK, data)
	if !ok {
		c.Message = cmp.Or(plainReason(data), "no reason given")
		c.findSubject(0, nil)
	}
	return c
}

// failedFinish are the reasons with which servers end an answer that they could not
// continue.
var failedFinish = []string{"error", "network_error", "insufficient_system_resource", "abort"}

// OfFinish returns the error that an answer's finish reason means; nil if it is a normal
// end. name is the member's.
func OfFinish(name, reason string) *Error {
	if !slices.Contains(failedFinish, strings.ToLower(reason)) {
		return nil
	}
	return &Error{Type: reason, Message: "it ended the answer with " + name + " " + reason}
}

// OfChoice returns the error in a choice, or the one that its end means.
func OfChoice(choice []byte) *Error {
	if said := strictjson.ValueOf(choice, "error"); said != nil && !isNone(said) {
		c := Within(slices.Concat([]byte(`{"error":`), said, []byte("}")))
		return &c
	}
	return OfFinish("finish_reason", string(strictjson.String(strictjson.ValueOf(choice, "finish_reason"))))
}

// isNone reports whether a member is empty.
func isNone(value []byte) bool {
	switch string(value) {
	case "null", "false", `""`, "{}", "[]":
		return true
	}
	return false
}

// isFailure reports whether a code is that of an error.
func isFailure(code []byte) bool {
	code = bytes.Trim(code, `"`)
	n, err := strconv.Atoi(string(code))
	if err == nil {
		return n >= 400
	}
	switch strings.ToLower(string(code)) {
	case "", "null", "ok", "success", "true", "false",
		"queued", "pending", "waiting", "starting", "started", "processing", "running", "in_progress", "heartbeat", "ping":
		return false
	}
	return code[0] != '{' && code[0] != '['
}
