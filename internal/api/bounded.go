package api

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
)

// What follows reads the fields whose size is the caller's choice. Each has a bound,
// and builds nothing beyond it.

const (
	maxParams  = 1000 // names of params
	maxFilters = 100  // names of the metadata of a filter
)

// conversation keeps the list of a conversation as it was written; its text is that of the
// body.
func conversation(v value, into *json.RawMessage) error {
	if v.isNull() {
		return nil
	}
	if v.jsonType() != array {
		return v.notA(string(array))
	}
	err := v.eachElement(func(i int, val value) error {
		if val.jsonType() != object {
			return within(index(i), val.notA(string(object)))
		}
		return nil
	})
	*into = json.RawMessage(v)
	return err
}

// metadata keeps an object as it was written.
func metadata(v value, into *json.RawMessage) error {
	if len(v) > node.MaxMetadata {
		return &formError{message: fmt.Sprintf("must have at most %d KiB", node.MaxMetadata>>10)}
	}
	if err := verbatim(v, into, object); err != nil {
		return err
	}
	*into = bytes.Clone(*into) // the job has it for longer than the body is there
	return nil
}

// params keeps the values of an object as they were written.
func params(v value, into *map[string]json.RawMessage) error {
	if v.isNull() {
		return nil
	}
	if v.jsonType() != object {
		return v.notA(string(object))
	}
	fields := map[string]json.RawMessage{}
	err := v.eachMember(func(name string, val value) error {
		if len(fields) == maxParams {
			return &formError{message: fmt.Sprintf("must have at most %d names", maxParams)}
		}
		fields[name] = json.RawMessage(val)
		return nil
	})
	*into = fields
	return err
}

// texts reads an object of at most so many strings.
func texts(v value, into *map[string]string, most int) error {
	if v.isNull() {
		return nil
	}
	if v.jsonType() != object {
		return v.notA(string(object))
	}
	fields := map[string]string{}
	err := v.eachMember(func(name string, val value) error {
		if val.jsonType() != str {
			return within(name, val.notA(string(str)))
		}
		if len(fields) == most {
			return &formError{message: fmt.Sprintf("must have at most %d names", most)}
		}
		fields[name] = val.text()
		return nil
	})
	*into = fields
	return err
}

// list reads an array of at most so many strings, which are called what.
func list[S ~string](v value, into **[]S, most int, what string) error {
	if v.isNull() {
		return nil
	}
	if v.jsonType() != array {
		return v.notA(string(array))
	}
	elements := []S{}
	err := v.eachElement(func(i int, val value) error {
		if val.jsonType() != str {
			return within(index(i), val.notA(string(str)))
		}
		if i == most {
			return &formError{message: fmt.Sprintf("must hold at most %d %s", most, what)}
		}
		elements = append(elements, S(val.text()))
		return nil
	})
	*into = &elements
	return err
}

// events reads the kinds of webhooks that are wanted.
func events(v value, into **[]ringback.EventType) error {
	return list(v, into, node.MaxEvents, "kinds of events")
}

// models reads a list of names; an empty one is not an absent one.
func models(v value, into *[]string) error {
	var names *[]string
	err := list(v, &names, node.MaxFallbacks, "models")
	if names != nil {
		*into = *names
	}
	return err
}
