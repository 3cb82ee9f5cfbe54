package provider

import (
	"bytes"
	"errors"
	"net/http"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// replace takes the answer of a server that did not stream.
func (a *openaiAnswer) replace(message []byte) error {
	message, isJSON := readable(message)
	if !isJSON || firstByte(message) != '{' {
		if c, ok := readComplaint(http.StatusOK, message); ok { // in a list
			return c
		}
		return errors.New("the answer is not a JSON object")
	}
	if !utf8.Valid(message) {
		message = bytes.ToValidUTF8(message, []byte("\uFFFD"))
	}
	failure := wholeComplaint(message)
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

// wholeComplaint is the error that a whole answer is, or that it has in one of its
// choices; nil if there is none.
func wholeComplaint(message []byte) *complaint {
	if complains(message) || !member(message, "choices").Exists() {
		if c, ok := readComplaint(http.StatusOK, message); ok {
			return &c
		}
	}
	for choice := range items(valueOf(message, "choices")) {
		if c := choiceComplaint(choice); c != nil {
			return c
		}
	}
	return nil
}

// saysAnything reports whether a whole answer has a message that is more than its form.
func saysAnything(message []byte) bool {
	for choice := range items(valueOf(message, "choices")) {
		for piece := range pairs(valueOf(choice, "message")) {
			if says(piece) {
				return true
			}
		}
	}
	return false
}
