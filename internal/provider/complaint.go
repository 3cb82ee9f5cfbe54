package provider

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
)

// complaint is what a provider says of an error.
type complaint struct {
	kind      string // its own name of the error
	message   string
	requestID string
	// status is the HTTP status that the kind stands for, 0 if unknown.
	status int
	// subject is whom the error is about, whatever its status says.
	subject subject
	// namesModel: the message mentions a model. It counts with a 404 alone.
	namesModel bool
	// header are headers that a gateway passes on within the body.
	header http.Header
	// delay is the time to wait that the body names, 0 if none.
	delay time.Duration
}

// Error makes a complaint the error that ends a stream.
func (c complaint) Error() string { return c.kind + ": " + c.message }

// subject is what an error is about, which decides who has to wait for it.
type subject string

const (
	ofAccount subject = "account" // our key or our credit
	ofModel   subject = "model"   // there is no such model, or none for us
	ofRequest subject = "request" // this request alone
)

// readComplaint reads the body of an error, or the chunk of a stream that is one, in
// the forms of both protocols and of the servers that speak them loosely: an object
// or a sentence as error, its members at the top, a list of one, the detail of
// FastAPI, MiniMax's base_resp. status is the response's. ok is false if the body is
// none of these.
func readComplaint(status int, body []byte) (c complaint, ok bool) {
	if !valid(body) {
		return complaint{}, false
	}
	top := gjson.ParseBytes(body)
	switch {
	case top.Type == gjson.String:
		return complaint{message: strings.TrimSpace(top.Str)}, true
	case top.IsArray():
		top = top.Get("0")
	}
	said := innermost(top)
	c = complaint{message: saidIn(said, top), requestID: top.Get("request_id").Str, header: passedOn(said), delay: delayIn(said)}
	words := wordsOf(said, top)
	for _, word := range words {
		c.kind = cmp.Or(c.kind, word)
		c.status = cmp.Or(c.status, statusOfWord[normal(word)])
	}
	for _, name := range []string{"code", "status", "status_code", "statusCode"} {
		c.status = cmp.Or(c.status, statusOf(said.Get(name)))
	}
	c.readBase(top.Get("base_resp"))
	if c.kind == "" && c.message == "" {
		return complaint{}, false
	}
	if status/100 == 2 {
		status = c.status
	}
	c.message = c.unwrapped(status)
	c.judge(status, words)
	if said.Get("metadata.reasons").IsArray() || said.Get("cloudflare_error").Bool() { // OpenRouter's moderation; a firewall
		c.subject = cmp.Or(c.subject, ofRequest)
	}
	if raw := said.Get("metadata.raw"); raw.Type == gjson.String && strings.HasPrefix(c.message, "Provider returned error") {
		c.quote(raw.Str)
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

// saidIn finds the message.
func saidIn(said, top gjson.Result) string {
	for _, name := range []string{"message", "Message", "msg", "error_description", "error_msg", "detail", "title", "error", "reason"} {
		if text := sentence(said.Get(name)); text != "" {
			return text
		}
	}
	return cmp.Or(sentence(top.Get("error")), sentence(top.Get("detail")), sentence(top.Get("message")), listed(top.Get("errors")))
}

// listed makes text of several errors, in a list or by the name of a field.
func listed(errors gjson.Result) string {
	errors = brief(errors)
	if !errors.IsObject() {
		return sentence(errors)
	}
	var texts []string
	errors.ForEach(func(name, said gjson.Result) bool {
		if text := sentence(said); text != "" {
			texts = append(texts, name.Str+": "+text)
		}
		return true
	})
	return strings.Join(texts, "; ")
}

// sentence makes text of what a server sends as a message: a string, or the list of
// what FastAPI found wrong.
func sentence(said gjson.Result) string {
	switch said = brief(said); {
	case said.Type == gjson.String:
		return strings.TrimSpace(said.Str)
	case said.IsArray():
		var texts []string
		for _, item := range said.Array() {
			if text := sentence(item); text != "" {
				texts = append(texts, text)
			}
		}
		return strings.Join(texts, "; ")
	case said.IsObject():
		text := cmp.Or(sentence(said.Get("msg")), sentence(said.Get("message")), sentence(said.Get("detail")), sentence(said.Get("text")))
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

// brief returns a value that may be a part of an error, and nothing in the place of one
// that is too large or nested too deep for that: it is a provider that sizes it.
func brief(said gjson.Result) gjson.Result {
	const largest, deepest = 64 << 10, 10
	if len(said.Raw) > largest || nesting([]byte(said.Raw)) > deepest {
		return gjson.Result{}
	}
	return said
}

// wordsOf are all the names that the error has, the most exact first.
func wordsOf(said, top gjson.Result) []string {
	var words []string
	add := func(word gjson.Result) {
		if word.Type == gjson.String && word.Str != "" && word.Str != "error" && !slices.Contains(words, word.Str) {
			words = append(words, word.Str)
		}
	}
	for _, name := range []string{"code", "Code", "type", "status", "__type", "error_code", "innererror.code", "details.error_code"} {
		add(said.Get(name))
	}
	if details := brief(said.Get("details")); details.IsArray() { // google.rpc.ErrorInfo
		for _, detail := range details.Array() {
			add(detail.Get("reason"))
		}
	}
	if said.Get("message").Exists() { // {"error":"invalid_request","message":…}
		add(top.Get("error"))
	}
	return words
}

// statusOf is a status that is sent as a code.
func statusOf(code gjson.Result) int {
	n, _ := strconv.Atoi(code.String())
	if n < 400 || n > 599 {
		return 0
	}
	return n
}

// readBase reads what MiniMax adds to all that it sends.
func (c *complaint) readBase(base gjson.Result) {
	code := base.Get("status_code").Int()
	if code == 0 {
		return
	}
	c.kind = cmp.Or(c.kind, strconv.FormatInt(code, 10))
	c.message = cmp.Or(c.message, sentence(base.Get("status_msg")))
	known := ofMiniMax[code]
	c.status = cmp.Or(c.status, known.status)
	c.subject = known.subject
}

var wrapping = regexp.MustCompile(`^(?:(?:litellm\.)?\w*(?:Error|Exception)(?: -|:)\s+|Error code: \d+ - )+`)

// unwrapped is the message without what gateways put around the one that they got.
func (c *complaint) unwrapped(status int) string {
	inside := strings.TrimSpace(wrapping.ReplaceAllString(c.message, ""))
	if !strings.HasPrefix(inside, "{") {
		return c.message
	}
	inner, ok := readComplaint(status, []byte(inside))
	if !ok {
		return c.message
	}
	c.subject = cmp.Or(c.subject, inner.subject)
	return cmp.Or(inner.message, c.message)
}

// quote adds what the server behind a gateway said. It does not speak of our account.
func (c *complaint) quote(raw string) {
	if inner, ok := readComplaint(c.status, []byte(raw)); ok {
		raw = inner.message
		if inner.subject == ofRequest {
			c.subject = cmp.Or(c.subject, ofRequest)
		}
	}
	if raw = strings.TrimSpace(raw); raw != "" {
		c.message += ": " + raw
	}
}

// passedOn are the headers that OpenRouter puts into the body.
func passedOn(said gjson.Result) http.Header {
	header := http.Header{}
	for name, value := range brief(said.Get("metadata.headers")).Map() {
		header.Set(name, value.String())
	}
	return header
}

// delayIn finds a time to wait among the error's members: Google's RetryInfo, and
// what others call it.
func delayIn(said gjson.Result) time.Duration {
	delays := []gjson.Result{said.Get("retry_after"), said.Get("retry_after_seconds"), said.Get("retryAfter")}
	if details := brief(said.Get("details")); details.IsArray() {
		for _, detail := range details.Array() {
			delays = append(delays, detail.Get("retryDelay"))
		}
	}
	for _, delay := range delays {
		if wait, ok := backoff.Parse(delay.String(), time.Now()); ok && wait > 0 {
			return bounded(wait)
		}
	}
	return 0
}

// complains reports whether a chunk is an error, or has one beside its other members.
func complains(chunk []byte) bool {
	named, coded := signs(chunk)
	return named || coded
}

// complainsIn is complains for an event. One with a name of its own may tell by a code
// and a message how the request gets on: only what calls itself an error is one.
func complainsIn(kind string, event []byte) bool {
	named, coded := signs(event)
	return named || coded && (kind == "message" || kind == "error")
}

// signs looks for what makes a chunk an error: it is named so, or has a code of one
// and says why.
func signs(chunk []byte) (named, isCoded bool) {
	var coded, worded, answers bool
	for member := range pairs(chunk) {
		switch string(member.name) {
		case "error":
			if !isNone(member.value) {
				return true, false
			}
		case "object", "type":
			if string(meaning(member.value)) == "error" {
				return true, false
			}
		case "base_resp":
			if code := bytes.Trim(valueOf(member.value, "status_code"), `"`); len(code) > 0 && string(code) != "0" && code[0] != 'n' {
				return true, false
			}
		case "code":
			coded = coded || isFailure(member.value)
		case "status", "status_code", "statusCode":
			coded = coded || statusOf(gjson.ParseBytes(member.value)) != 0
		case "message", "msg":
			worded = worded || member.value[0] == '"'
		case "detail", "errors":
			if !isNone(member.value) {
				coded, worded = true, true
			}
		case "choices", "content", "delta":
			answers = true
		}
	}
	return false, coded && worded && !answers
}

// complaintOf is the error that came within an answer.
func complaintOf(data []byte) complaint {
	c, ok := readComplaint(http.StatusOK, data)
	if !ok {
		c.message = cmp.Or(plainReason(data), "no reason given")
		c.judge(0, nil)
	}
	return c
}

// failedFinish are the reasons with which servers end an answer that they could not
// go on with.
var failedFinish = []string{"error", "network_error", "insufficient_system_resource", "abort"}

// finishComplaint is the error that the end of an answer stands for; nil if it is one
// of an answer. name is that of the member.
func finishComplaint(name, reason string) *complaint {
	if !slices.Contains(failedFinish, strings.ToLower(reason)) {
		return nil
	}
	return &complaint{kind: reason, message: "it ended the answer with " + name + " " + reason}
}

// choiceComplaint is the error that stands in a choice, or that its end is.
func choiceComplaint(choice []byte) *complaint {
	if said := valueOf(choice, "error"); said != nil && !isNone(said) {
		c := complaintOf(slices.Concat([]byte(`{"error":`), said, []byte("}")))
		return &c
	}
	return finishComplaint("finish_reason", string(meaning(valueOf(choice, "finish_reason"))))
}

// isNone reports whether a member says nothing.
func isNone(value []byte) bool {
	switch string(value) {
	case "null", "false", `""`, "{}", "[]":
		return true
	}
	return false
}

// isFailure reports whether a code is one of an error.
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
