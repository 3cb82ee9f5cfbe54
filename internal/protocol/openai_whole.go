package protocol

import (
	"bytes"
	"errors"
	"net/http"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/ringback/ringback/internal/protocol/apierror"
	"github.com/ringback/ringback/internal/strictjson"
)

// Replace sets the answer of a server that did not stream.
func (a *openaiAnswer) Replace(message []byte) error {
	message, isJSON := strictjson.Repair(message)
	if !isJSON || strictjson.FirstByte(message) != '{' {
		if c, ok := apierror.Read(http.StatusOK, message); ok { // in a list
			return c
		}
		return errors.New("the answer is not a JSON object")
	}
	if !utf8.Valid(message) {
		message = bytes.ToValidUTF8(message, []byte("\uFFFD"))
	}
	failure := messageError(message)
	switch {
	case !gjson.GetBytes(message, "choices.0").IsObject():
		if failure != nil {
			return *failure
		}
		return errors.New("the answer is not a chat completion")
	case failure == nil, saysAnything(message):
		a.whole, a.held = message, len(message)
	}
	if failure != nil {
		return *failure
	}
	return nil
}

// messageError returns the error that a whole answer is, or that it has in one of its
// choices; nil if there is none.
func messageError(message []byte) *apierror.Error {
	if apierror.IsError(message) || !strictjson.Get(message, "choices").Exists() {
		if c, ok := apierror.Read(http.StatusOK, message); ok {
			return &c
		}
	}
	for choice := range strictjson.Elements(strictjson.ValueOf(message, "choices")) {
		if c := apierror.OfChoice(choice); c != nil {
			return c
		}
	}
	return nil
}

// saysAnything reports whether a whole answer has a message that is more than its form.
func saysAnything(message []byte) bool {
	for choice := range strictjson.Elements(strictjson.ValueOf(message, "choices")) {
		for piece := range strictjson.Members(strictjson.ValueOf(choice, "message")) {
			if hasContent(piece) {
				return true
			}
		}
	}
	return false
}
