package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// A ReadField reads the value of a field into a T. It returns ErrUnknownField if T has no
// such field.
type ReadField[T any] func(into *T, name string, v Value) error

// ErrUnknownField is the error of a [ReadField] for a field that it does not know.
var ErrUnknownField = errors.New("unknown field")

// Decode parses a body strictly. Null means that a field is absent. The result may refer to
// the body, so that large values are not copied.
func Decode[T any](body []byte, read ReadField[T]) (*T, error) {
	into := new(T)
	if len(bytes.TrimSpace(body)) == 0 {
		return into, nil // like {}: the handler knows which fields are missing
	}
	members, err := ParseObject(body)
	if err != nil {
		return nil, err
	}
	for _, m := range members {
		err := read(into, m.Name, m.Value)
		if errors.Is(err, ErrUnknownField) {
			err = &Error{Message: "is not a field here; " + knownFields[T]()}
		}
		if err != nil {
			return nil, Within(m.Name, err)
		}
	}
	return into, nil
}

// knownFields names the fields of T.
func knownFields[T any]() string {
	names := FieldNames(reflect.TypeFor[T]())
	if len(names) == 0 {
		return "send no body, or {}"
	}
	return "the fields are " + strings.Join(names, ", ")
}

// FieldNames returns the names of a struct's fields in JSON, sorted.
func FieldNames(t reflect.Type) []string {
	var names []string
	for f := range t.Fields() {
		if f.Anonymous {
			names = append(names, FieldNames(f.Type)...)
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// The following functions read one value each. All of them treat null as absence, and name
// the wanted type if the value has another.

// ReadString reads a string.
func ReadString[S ~string](v Value, into *S) error {
	if v.IsNull() {
		return nil
	}
	if v[0] != '"' {
		return v.NotA("a string")
	}
	*into = S(v.Text())
	return nil
}

// ReadInt reads a whole number.
func ReadInt(v Value, into **int) error {
	if v.IsNull() {
		return nil
	}
	const wanted = "a whole number"
	if v[0] != '-' && !isDigit(v[0]) {
		return v.NotA(wanted)
	}
	d, ok := parseDecimal(string(v))
	if ok && d.exp < 0 {
		return &Error{Message: "must be " + wanted + ", without a fraction"}
	}
	n, err := strconv.Atoi(string(d.appendTo(nil)))
	if !ok || err != nil {
		return &Error{Message: "is out of range"}
	}
	*into = &n
	return nil
}

// ReadRaw keeps a value as it was written, if it has one of the wanted types: its text
// refers to the body.
func ReadRaw(v Value, into *json.RawMessage, wanted ...Type) error {
	if v.IsNull() {
		return nil
	}
	if !slices.Contains(wanted, v.Type()) {
		return v.NotA(alternatives(wanted))
	}
	*into = json.RawMessage(v)
	return nil
}

// A Type is a type of JSON as an error calls it.
type Type string

// The types.
const (
	TypeNull    Type = "null"
	TypeBoolean Type = "a boolean"
	TypeNumber  Type = "a number"
	TypeString  Type = "a string"
	TypeArray   Type = "an array"
	TypeObject  Type = "an object"
)

// Type returns the type of the value.
func (v Value) Type() Type {
	switch v[0] {
	case 'n':
		return TypeNull
	case 't', 'f':
		return TypeBoolean
	case '"':
		return TypeString
	case '[':
		return TypeArray
	case '{':
		return TypeObject
	default:
		return TypeNumber
	}
}

// IsNull reports whether the value is null.
func (v Value) IsNull() bool { return v[0] == 'n' }

// Text returns the text of a string.
func (v Value) Text() string { return Unescape(v[1 : len(v)-1]) }

// NotA returns the error that the value has another type than the wanted one.
func (v Value) NotA(wanted string) error {
	return &Error{Message: fmt.Sprintf("must be %s, not %s", wanted, v.Type())}
}

func alternatives(types []Type) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = string(t)
	}
	return strings.Join(names, " or ")
}
