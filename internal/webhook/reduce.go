package webhook

import (
	"bytes"

	"github.com/tidwall/gjson"

	"github.com/ringback/ringback"
)

// leftOut are the members that a form of the body does not have.
var leftOut = map[ringback.WebhookBody]map[string]bool{
	ringback.WebhookResult: {"response": true},
	ringback.WebhookThin:   {"response": true, "result": true, "partial_result": true},
}

// Reduce returns a body in the given form: without the members that the form leaves out,
// and every other byte unchanged. So a form has the same bytes on every try, whichever form
// they were made from, and a body that already has the form is returned unchanged. It needs
// a body made by [Body].
func Reduce(body []byte, form ringback.WebhookBody) []byte {
	without := leftOut[form]
	if len(without) == 0 {
		return body
	}
	reduced := make([]byte, 1, 1024)
	reduced[0] = '{'
	gjson.ParseBytes(body).ForEach(func(name, value gjson.Result) bool {
		if without[name.Str] {
			return true
		}
		if len(reduced) > 1 {
			reduced = append(reduced, ',')
		}
		reduced = append(append(append(reduced, name.Raw...), ':'), value.Raw...)
		return true
	})
	reduced = append(reduced, '}')
	if bytes.Equal(reduced, body) {
		return body
	}
	return reduced
}

// smaller is the order in which the forms of a body are tried.
var smaller = map[ringback.WebhookBody]ringback.WebhookBody{
	"":                     ringback.WebhookResult, // of a delivery older than the forms
	ringback.WebhookFull:   ringback.WebhookResult,
	ringback.WebhookResult: ringback.WebhookThin,
}

// Smaller returns the next form that makes a body smaller, or false if there is none.
// body is in the given form.
func Smaller(body []byte, form ringback.WebhookBody) (ringback.WebhookBody, bool) {
	for next, ok := smaller[form]; ok; next, ok = smaller[next] {
		if len(Reduce(body, next)) < len(body) {
			return next, true
		}
	}
	return "", false
}
