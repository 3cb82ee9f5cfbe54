package provider

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/tidwall/gjson"
)

// field is a member of a JSON object: a name and its value as raw JSON.
type field struct {
	name  string
	value []byte
}

// appendObject appends the JSON object with each of fields set: in its place if
// the object has it, else at the end. All other members stay as they are; of two
// fields of one name the last counts. Object and fields must be valid JSON.
func appendObject(dst, object []byte, fields ...field) []byte {
	at := make(map[string]int, len(fields))
	for i, f := range fields {
		at[f.name] = i
	}
	const written = -1
	dst = append(dst, '{')
	first := len(dst)
	add := func(name string, value []byte) {
		if len(dst) > first {
			dst = append(dst, ',')
		}
		dst = append(append(dst, name...), ':')
		dst = append(dst, value...)
	}
	gjson.ParseBytes(object).ForEach(func(key, value gjson.Result) bool {
		switch i, set := at[key.Str]; {
		case !set:
			add(key.Raw, []byte(value.Raw))
		case i != written: // a name that comes twice becomes one
			add(key.Raw, fields[i].value)
			at[key.Str] = written
		}
		return true
	})
	for i, f := range fields {
		if at[f.name] == i {
			add(string(quote(f.name)), f.value)
		}
	}
	return append(dst, '}')
}

// merge sets in object all members of patch but those named in except. A null
// does not take the place of a value; a patch that is no object changes nothing.
func merge(object []byte, patch gjson.Result, except ...string) []byte {
	if !patch.IsObject() {
		return object
	}
	patched := patch.Map() // one look-up each: a patch may be long
	for _, name := range except {
		delete(patched, name)
	}
	for name, value := range gjson.ParseBytes(object).Map() {
		if patched[name].Type == gjson.Null && value.Exists() {
			delete(patched, name)
		}
	}
	if len(patched) == 0 {
		return object
	}
	var fields []field
	patch.ForEach(func(key, _ gjson.Result) bool { // in the order of the patch
		if value, ok := patched[key.Str]; ok {
			fields = append(fields, field{key.Str, []byte(value.Raw)})
		}
		return true
	})
	return appendObject(nil, object, fields...)
}

// members gives the members of an object.
func members(object []byte) []field {
	var fields []field
	gjson.ParseBytes(object).ForEach(func(key, value gjson.Result) bool {
		fields = append(fields, field{key.Str, []byte(value.Raw)})
		return true
	})
	return fields
}

// without gives an object less the member of a name.
func without(object []byte, name string) []byte {
	kept := []byte{'{'}
	gjson.ParseBytes(object).ForEach(func(key, value gjson.Result) bool {
		if key.Str != name {
			if len(kept) > 1 {
				kept = append(kept, ',')
			}
			kept = append(append(append(kept, key.Raw...), ':'), value.Raw...)
		}
		return true
	})
	return append(kept, '}')
}

// member gives a member of an object by its name. A path of gjson would give
// some characters of the name a meaning.
func member(object []byte, name string) (found gjson.Result) {
	gjson.ParseBytes(object).ForEach(func(key, value gjson.Result) bool {
		if key.Str == name {
			found = value
			return false
		}
		return true
	})
	return found
}

// quote makes a JSON string, without the escapes for HTML.
func quote(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(strings.ToValidUTF8(s, "\uFFFD")); err != nil {
		panic(err) // a string, into memory
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'})
}

// unquote reads a JSON string that is known to be valid.
func unquote(raw []byte) string {
	var s string
	_ = json.Unmarshal(raw, &s)
	return s
}

// absent says whether an optional value was not given.
func absent(value json.RawMessage) bool {
	value = bytes.TrimSpace(value)
	return len(value) == 0 || string(value) == "null"
}

// firstByte is what tells an object from an array or a string; 0 if there is none.
func firstByte(value []byte) byte {
	value = bytes.TrimLeft(value, " \t\r\n")
	if len(value) == 0 {
		return 0
	}
	return value[0]
}
