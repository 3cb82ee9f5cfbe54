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
// the object has it, else at the end. All other members stay as they are.
// Both object and fields must be valid JSON.
func appendObject(dst, object []byte, fields ...field) []byte {
	set := make([]bool, len(fields))
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
		for i, f := range fields {
			if f.name == key.Str {
				if !set[i] { // a name that comes twice becomes one
					add(key.Raw, f.value)
				}
				set[i] = true
				return true
			}
		}
		add(key.Raw, []byte(value.Raw))
		return true
	})
	for i, f := range fields {
		if !set[i] {
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
	var fields []field
	patch.ForEach(func(key, value gjson.Result) bool {
		for _, name := range except {
			if key.Str == name {
				return true
			}
		}
		if value.Type == gjson.Null && member(object, key.Str).Exists() {
			return true
		}
		fields = append(fields, field{key.Str, []byte(value.Raw)})
		return true
	})
	if len(fields) == 0 {
		return object
	}
	return appendObject(nil, object, fields...)
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
	e.Encode(strings.ToValidUTF8(s, "\uFFFD")) // into memory: no error
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'})
}

// unquote reads a JSON string that is known to be valid.
func unquote(raw []byte) string {
	var s string
	json.Unmarshal(raw, &s)
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
