// Package check checks the parameters of API requests, and keeps the first fault that it
// finds.
//
// check.go checks fields, ranges.go has the bounds of numbers.
package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
)

// Checks collects the first fault of a request.
type Checks struct{ err *ringback.Error }

// Fault records a fault of a field, unless there is one already.
func (c *Checks) Fault(field, message string) {
	if c.err == nil {
		c.err = ringback.Invalid(field, message)
	}
}

// Err returns the first fault; nil if there is none.
func (c *Checks) Err() error {
	if c.err == nil {
		return nil
	}
	return c.err
}

// Number checks a number against the Ranges, and returns its default if it is not given.
func (c *Checks) Number(field string, n *int) int {
	r := Ranges[field]
	if n == nil {
		return r.Default
	}
	if *n < r.Least || *n > r.Most {
		c.Fault(field, fmt.Sprintf("%s must be from %d to %d", field, r.Least, r.Most))
	}
	return *n
}

// ID checks an id. what names its kind.
func (c *Checks) ID(field, text, what string) uuid.UUID {
	id, err := uuid.Parse(text)
	if err != nil || len(text) != 36 {
		c.Fault(field, field+" must be "+what+", like 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d")
	}
	return id
}

// OneOf checks that a word is one of some; the first of these is the default.
func OneOf[T ~string](c *Checks, field string, word T, words ...T) T {
	if word == "" {
		return words[0]
	}
	if !slices.Contains(words, word) {
		c.Fault(field, fmt.Sprintf("%s must be one of %s", field, joined(words)))
	}
	return word
}

func joined[T ~string](words []T) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(w))
	}
	return b.String()
}
