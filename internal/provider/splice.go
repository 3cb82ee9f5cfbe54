package provider

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// field is a member of a JSON object: a name and its value as raw JSON.
type field struct {
	name  string
	value []byte
}

// appendObject appends the JSON object with each of fields set: in its place if
// the object has it, else at the end. All other members stay as they are; of two
// fields of one name the last counts. Object and fields must be valid JSON. A nil
// dst is made as large as need be.
func appendObject(dst, object []byte, fields ...field) []byte {
	const written, punctuation = -1, 4 // two quotes, a colon, a comma
	size := len(object)
	at := make(map[string]int)
	for i, f := range fields {
		at[f.name] = i
		size += len(f.name) + len(f.value) + punctuation
	}
	if dst == nil {
		dst = make([]byte, 0, size)
	}
	dst = append(dst, '{')
	for p := range pairs(object) {
		value := p.value
		if i, set := at[string(p.name)]; set {
			if i == written { // a name that comes twice becomes one
				continue
			}
			value, at[fields[i].name] = fields[i].value, written
		}
		dst = appendMember(dst, p.key, value)
	}
	for i, f := range fields {
		if at[f.name] == i {
			dst = append(appendQuoted(appendComma(dst), f.name), ':')
			dst = append(dst, f.value...)
		}
	}
	return append(dst, '}')
}

// appendMember appends a member to the inside of an object.
func appendMember(dst, key, value []byte) []byte {
	dst = append(append(appendComma(dst), key...), ':')
	return append(dst, value...)
}

// appendComma parts a member from those before it.
func appendComma(dst []byte) []byte {
	if dst[len(dst)-1] == '{' { // no value ends so
		return dst
	}
	return append(dst, ',')
}

// merge sets in object all members of patch but those named in except. A null
// does not take the place of a value; a patch that is no object changes nothing.
func merge(object, patch []byte, except ...string) []byte {
	patched := make(map[string][]byte) // one look-up each: a patch may be long
	for p := range pairs(patch) {
		if _, twice := patched[string(p.name)]; !twice && !slices.Contains(except, string(p.name)) {
			patched[string(p.name)] = p.value
		}
	}
	for p := range pairs(object) {
		if value, ok := patched[string(p.name)]; ok && firstByte(value) == 'n' {
			delete(patched, string(p.name))
		}
	}
	if len(patched) == 0 {
		return object
	}
	var fields []field
	for p := range pairs(patch) { // in the order of the patch
		if value, ok := patched[string(p.name)]; ok {
			fields = append(fields, field{string(p.name), value})
			delete(patched, string(p.name)) // a name that comes again must not take memory again
		}
	}
	return appendObject(nil, object, fields...)
}

// members gives the members of an object.
func members(object []byte) []field {
	var fields []field
	for p := range pairs(object) {
		fields = append(fields, field{string(p.name), p.value})
	}
	return fields
}

// without gives an object less the member of a name.
func without(object []byte, name string) []byte {
	kept := append(make([]byte, 0, len(object)), '{')
	for p := range pairs(object) {
		if string(p.name) != name {
			kept = appendMember(kept, p.key, p.value)
		}
	}
	return append(kept, '}')
}

// quote makes a JSON string, without the escapes for HTML: byte for byte what
// encoding/json makes of it.
func quote(s string) []byte {
	return appendQuoted(make([]byte, 0, len(s)+len(s)/8+len(`""`)), s)
}

// appendQuoted appends what quote makes.
func appendQuoted(dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	dst = append(dst, '"')
	done := 0
	for i, r := range s {
		if r >= ' ' && r != '"' && r != '\\' && r != '\u2028' && r != '\u2029' {
			continue
		}
		dst = append(append(dst, s[done:i]...), escape(r)...)
		done = i + utf8.RuneLen(r)
	}
	return append(append(dst, s[done:]...), '"')
}

func escape(r rune) string {
	switch r {
	case '"':
		return `\"`
	case '\\':
		return `\\`
	case '\b':
		return `\b`
	case '\f':
		return `\f`
	case '\n':
		return `\n`
	case '\r':
		return `\r`
	case '\t':
		return `\t`
	}
	if r < ' ' {
		return controls[r]
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// controls are the escapes of control characters.
var controls = func() (escapes [' ']string) {
	for r := range escapes {
		escapes[r] = fmt.Sprintf(`\u%04x`, r)
	}
	return escapes
}()

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
	for _, c := range value {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c
		}
	}
	return 0
}
