package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringback/ringback"
)

// readField reads the value of a field into a T; errUnknownField if T has no
// such field.
type readField[T any] func(into *T, name string, v value) error

var errUnknownField = errors.New("unknown field")

// decode reads a body strictly. Null is a field's absence. What it returns may hold
// on to the body, so that what is large is not copied.
func decode[T any](body []byte, read readField[T]) (*T, error) {
	into := new(T)
	if len(bytes.TrimSpace(body)) == 0 {
		return into, nil // as {}: the handler says which fields it misses
	}
	members, err := parseObject(body)
	if err != nil {
		return nil, err
	}
	for _, m := range members {
		err := read(into, m.name, m.value)
		if errors.Is(err, errUnknownField) {
			err = &formError{message: "is not a field here; " + knownFields[T]()}
		}
		if err != nil {
			return nil, within(m.name, err)
		}
	}
	return into, nil
}

// knownFields names what a T may hold.
func knownFields[T any]() string {
	names := jsonNames(reflect.TypeFor[T]())
	if len(names) == 0 {
		return "send no body, or {}"
	}
	return "the fields are " + strings.Join(names, ", ")
}

// jsonNames are the names of a struct's fields in JSON, sorted.
func jsonNames(t reflect.Type) []string {
	var names []string
	for f := range t.Fields() {
		if f.Anonymous {
			names = append(names, jsonNames(f.Type)...)
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// nothing is the body of a handler that wants none.
type nothing struct{}

func readNothing(*nothing, string, value) error { return errUnknownField }

// What follows reads one value each. All of them take null for absence, and say
// which type is wanted when another one comes.

func text[S ~string](v value, into *S) error {
	if v.isNull() {
		return nil
	}
	if v[0] != '"' {
		return v.notA("a string")
	}
	*into = S(v.text())
	return nil
}

func wholeNumber(v value, into **int) error {
	if v.isNull() {
		return nil
	}
	const wanted = "a whole number"
	if v[0] != '-' && !isDigit(v[0]) {
		return v.notA(wanted)
	}
	d, ok := parseDecimal(string(v))
	if ok && d.exp < 0 {
		return &formError{message: "must be " + wanted + ", without a fraction"}
	}
	n, err := strconv.Atoi(string(d.appendTo(nil)))
	if !ok || err != nil {
		return &formError{message: "is out of range"}
	}
	*into = &n
	return nil
}

func moment(v value, into **ringback.Time) error {
	var s string
	if err := text(v, &s); err != nil || v.isNull() {
		return err
	}
	t, err := parseTime(s)
	if err != nil {
		return err
	}
	*into = &ringback.Time{Time: t}
	return nil
}

// parseTime reads a time of RFC 3339, which also allows lower case, and a space in
// the place of the T.
func parseTime(s string) (time.Time, error) {
	exact := strings.ToUpper(s)
	if day, clock, ok := strings.Cut(exact, " "); ok {
		exact = day + "T" + clock
	}
	t, err := time.Parse(time.RFC3339, exact)
	if err != nil {
		return t, &formError{message: "must be a time as RFC 3339 has it, such as 2026-01-31T18:00:00Z"}
	}
	return t, nil
}

// verbatim keeps a value as it was written, if it begins as one of wanted does: its
// text is that of the body.
func verbatim(v value, into *json.RawMessage, wanted ...jsonType) error {
	if v.isNull() {
		return nil
	}
	if !slices.Contains(wanted, v.jsonType()) {
		return v.notA(alternatives(wanted))
	}
	*into = json.RawMessage(v)
	return nil
}

// A jsonType is a type of JSON as an error calls it.
type jsonType string

const (
	null    jsonType = "null"
	boolean jsonType = "a boolean"
	number  jsonType = "a number"
	str     jsonType = "a string"
	array   jsonType = "an array"
	object  jsonType = "an object"
)

func (v value) jsonType() jsonType {
	switch v[0] {
	case 'n':
		return null
	case 't', 'f':
		return boolean
	case '"':
		return str
	case '[':
		return array
	case '{':
		return object
	default:
		return number
	}
}

func (v value) isNull() bool { return v[0] == 'n' }

// text is the text of a string.
func (v value) text() string { return unquote(v[1 : len(v)-1]) }

func (v value) notA(wanted string) error {
	return &formError{message: fmt.Sprintf("must be %s, not %s", wanted, v.jsonType())}
}

func alternatives(types []jsonType) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = string(t)
	}
	return strings.Join(names, " or ")
}
