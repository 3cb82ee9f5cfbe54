package api

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/intake"
	"github.com/ringback/ringback/internal/strictjson"
)

// The following functions read the fields whose size the caller chooses. Each has a bound,
// and builds nothing beyond it.

const (
	maxParams  = 1000 // names of params
	maxFilters = 100  // names of the metadata of a filter
)

// conversation keeps the list of a conversation as it was written; its text refers to the
// body.
func conversation(v strictjson.Value, into *json.RawMessage) error {
	if v.IsNull() {
		return nil
	}
	if v.Type() != strictjson.TypeArray {
		return v.NotA(string(strictjson.TypeArray))
	}
	err := v.EachElement(func(i int, val strictjson.Value) error {
		if val.Type() != strictjson.TypeObject {
			return strictjson.Within(strictjson.Index(i), val.NotA(string(strictjson.TypeObject)))
		}
		return nil
	})
	*into = json.RawMessage(v)
	return err
}

// metadata keeps an object as it was written.
func metadata(v strictjson.Value, into *json.RawMessage) error {
	if len(v) > intake.MaxMetadata {
		return &strictjson.Error{Message: fmt.Sprintf("must have at most %d KiB", intake.MaxMetadata>>10)}
	}
	if err := strictjson.ReadRaw(v, into, strictjson.TypeObject); err != nil {
		return err
	}
	*into = bytes.Clone(*into) // the job keeps it for longer than the body exists
	return nil
}

// params keeps the values of an object as they were written.
func params(v strictjson.Value, into *map[string]json.RawMessage) error {
	if v.IsNull() {
		return nil
	}
	if v.Type() != strictjson.TypeObject {
		return v.NotA(string(strictjson.TypeObject))
	}
	fields := map[string]json.RawMessage{}
	err := v.EachMember(func(name string, val strictjson.Value) error {
		if len(fields) == maxParams {
			return &strictjson.Error{Message: fmt.Sprintf("must have at most %d names", maxParams)}
		}
		fields[name] = json.RawMessage(val)
		return nil
	})
	*into = fields
	return err
}

// texts reads an object of at most that many strings.
func texts(v strictjson.Value, into *map[string]string, most int) error {
	if v.IsNull() {
		return nil
	}
	if v.Type() != strictjson.TypeObject {
		return v.NotA(string(strictjson.TypeObject))
	}
	fields := map[string]string{}
	err := v.EachMember(func(name string, val strictjson.Value) error {
		if val.Type() != strictjson.TypeString {
			return strictjson.Within(name, val.NotA(string(strictjson.TypeString)))
		}
		if len(fields) == most {
			return &strictjson.Error{Message: fmt.Sprintf("must have at most %d names", most)}
		}
		fields[name] = val.Text()
		return nil
	})
	*into = fields
	return err
}

// list reads an array of at most that many strings, which the error calls what.
func list[S ~string](v strictjson.Value, into **[]S, most int, what string) error {
	if v.IsNull() {
		return nil
	}
	if v.Type() != strictjson.TypeArray {
		return v.NotA(string(strictjson.TypeArray))
	}
	elements := []S{}
	err := v.EachElement(func(i int, val strictjson.Value) error {
		if val.Type() != strictjson.TypeString {
			return strictjson.Within(strictjson.Index(i), val.NotA(string(strictjson.TypeString)))
		}
		if i == most {
			return &strictjson.Error{Message: fmt.Sprintf("must hold at most %d %s", most, what)}
		}
		elements = append(elements, S(val.Text()))
		return nil
	})
	*into = &elements
	return err
}

// events reads the requested kinds of webhooks.
func events(v strictjson.Value, into **[]ringback.EventType) error {
	return list(v, into, intake.MaxEvents, "kinds of events")
}

// models reads a list of names; an empty list is not an absent one.
func models(v strictjson.Value, into *[]string) error {
	var names *[]string
	err := list(v, &names, intake.MaxFallbacks, "models")
	if names != nil {
		*into = *names
	}
	return err
}
