package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Field is a member of a JSON object: its name, without escapes, and its value as raw
// JSON.
type Field struct {
	Name  string
	Value Value
}

// AppendObject appends the JSON object with each of fields set: in its place if the object
// has it, otherwise at the end. All other members stay unchanged; of two fields with one
// name the last counts. Object and fields must be valid JSON. A nil dst is allocated as
// large as needed.
func AppendObject(dst, object []byte, fields ...Field) []byte {
	const written, punctuation = -1, 4 // two quotes, a colon, a comma
	size := len(object)
	at := make(map[string]int)
	for i, f := range fields {
		at[f.Name] = i
		size += len(f.Name) + len(f.Value) + punctuation
	}
	if dst == nil {
		dst = make([]byte, 0, size)
	}
	dst = append(dst, '{')
	for p := range Members(object) {
		value := p.Value
		if i, set := at[string(p.Name)]; set {
			if i == written { // a duplicate name becomes one
				continue
			}
			value, at[fields[i].Name] = fields[i].Value, written
		}
		dst = AppendMember(dst, p.Key, value)
	}
	for i, f := range fields {
		if at[f.Name] == i {
			dst = append(AppendQuoted(AppendComma(dst), f.Name), ':')
			dst = append(dst, f.Value...)
		}
	}
	return append(dst, '}')
}

// AppendMember appends a member to the inside of an object.
func AppendMember(dst, key, value []byte) []byte {
	dst = append(append(AppendComma(dst), key...), ':')
	return append(dst, value...)
}

// AppendComma appends a comma, unless dst ends with the brace that begins an object.
func AppendComma(dst []byte) []byte {
	if dst[len(dst)-1] == '{' { // no value ends like this
		return dst
	}
	return append(dst, ',')
}

// Merge sets all members of patch in object except those named in except. A null does not
// replace a value; a patch that is not an object changes nothing.
func Merge(object, patch []byte, except ...string) []byte {
	patched := make(map[string][]byte) // one lookup each: a patch may be long
	for p := range Members(patch) {
		if _, twice := patched[string(p.Name)]; !twice && !slices.Contains(except, string(p.Name)) {
			patched[string(p.Name)] = p.Value
		}
	}
	for p := range Members(object) {
		if value, ok := patched[string(p.Name)]; ok && FirstByte(value) == 'n' {
			delete(patched, string(p.Name))
		}
	}
	if len(patched) == 0 {
		return object
	}
	var fields []Field
	for p := range Members(patch) { // in the order of the patch
		if value, ok := patched[string(p.Name)]; ok {
			fields = append(fields, Field{string(p.Name), value})
			delete(patched, string(p.Name)) // a repeated name must not take memory again
		}
	}
	return AppendObject(nil, object, fields...)
}

// Fields returns the members of an object.
func Fields(object []byte) []Field {
	var fields []Field
	for p := range Members(object) {
		fields = append(fields, Field{string(p.Name), p.Value})
	}
	return fields
}

// Without returns an object without the named member.
func Without(object []byte, name string) []byte {
	kept := append(make([]byte, 0, len(object)), '{')
	for p := range Members(object) {
		if string(p.Name) != name {
			kept = AppendMember(kept, p.Key, p.Value)
		}
	}
	return append(kept, '}')
}

// Quote returns a JSON string, without the escapes for HTML: byte for byte what
// encoding/json makes.
func Quote(s string) []byte {
	return AppendQuoted(make([]byte, 0, len(s)+len(s)/8+len(`""`)), s)
}

// AppendQuoted appends what Quote returns.
func AppendQuoted(dst []byte, s string) []byte {
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

// Absent reports whether an optional value was not given.
func Absent(value json.RawMessage) bool {
	value = bytes.TrimSpace(value)
	return len(value) == 0 || string(value) == "null"
}

// FirstByte returns the first byte that is not space, which is the type of a value; 0 if
// there is none.
func FirstByte(value []byte) byte {
	for _, c := range value {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c
		}
	}
	return 0
}

// QuotedLen returns the length of what AppendQuoted appends for s.
func QuotedLen(s string) int {
	size := len(s) + len(`""`)
	if !utf8.ValidString(s) {
		return size + 2*len(s) // each byte may become the three of U+FFFD
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			size += len(escape(rune(c))) - 1
		}
	}
	for _, separator := range []string{"\u2028", "\u2029"} {
		size += strings.Count(s, separator) * (len(`\u2028`) - len(separator))
	}
	return size
}
