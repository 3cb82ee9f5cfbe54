package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/check"
)

// A schema is the part of JSON Schema that the document needs.
type schema struct {
	Ref                  string     `json:"$ref,omitempty"`
	Title                string     `json:"title,omitempty"`
	Description          string     `json:"description,omitempty"`
	Type                 any        `json:"type,omitempty"` // a word, or a list of words
	Format               string     `json:"format,omitempty"`
	Const                any        `json:"const,omitempty"`
	Enum                 []any      `json:"enum,omitempty"`
	Default              any        `json:"default,omitempty"`
	Pattern              string     `json:"pattern,omitempty"`
	ContentMediaType     string     `json:"contentMediaType,omitempty"`
	ContentSchema        *schema    `json:"contentSchema,omitempty"`
	Minimum              *int       `json:"minimum,omitempty"`
	Maximum              *int       `json:"maximum,omitempty"`
	MinLength            *int       `json:"minLength,omitempty"`
	MaxLength            *int       `json:"maxLength,omitempty"`
	Items                *schema    `json:"items,omitempty"`
	MinItems             *int       `json:"minItems,omitempty"`
	MaxItems             *int       `json:"maxItems,omitempty"`
	UniqueItems          bool       `json:"uniqueItems,omitempty"`
	Properties           properties `json:"properties,omitempty"`
	AdditionalProperties any        `json:"additionalProperties,omitempty"` // a bool, or a *schema
	PropertyNames        *schema    `json:"propertyNames,omitempty"`
	MinProperties        *int       `json:"minProperties,omitempty"`
	MaxProperties        *int       `json:"maxProperties,omitempty"`
	Required             []string   `json:"required,omitempty"`
	AllOf                []*schema  `json:"allOf,omitempty"`
	AnyOf                []*schema  `json:"anyOf,omitempty"`
	Not                  *schema    `json:"not,omitempty"`
}

// properties are those of an object, in the order of their struct.
type properties []property

type property struct {
	name   string
	schema *schema
}

// MarshalJSON writes an object that keeps the order.
func (p properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, one := range p {
		text, err := json.Marshal(one.schema)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%s", one.name, text)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// schemas are made from types, each struct once, under its name.
type schemas struct {
	manual manual
	named  map[string]*schema
}

const schemaPath = "#/components/schemas/"

// of returns the schema of a type; heading is where its fields are described, unless
// headings says so.
func (s *schemas) of(t reflect.Type, heading string) *schema {
	if words, ok := enums[t]; ok {
		return &schema{Type: "string", Enum: words}
	}
	switch t {
	case reflect.TypeFor[ringback.Time](), reflect.TypeFor[time.Time]():
		return &schema{Type: "string", Format: "date-time"}
	case reflect.TypeFor[json.RawMessage]():
		return &schema{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem(), heading)
	case reflect.Struct:
		return &schema{Ref: schemaPath + s.name(t, heading)}
	case reflect.Slice:
		return &schema{Type: "array", Items: s.of(t.Elem(), heading)}
	case reflect.Map:
		return &schema{Type: "object", AdditionalProperties: s.of(t.Elem(), heading)}
	case reflect.Bool:
		return &schema{Type: "boolean"}
	case reflect.Int, reflect.Int64:
		return &schema{Type: "integer", Minimum: new(0)} // the API counts; no number is negative
	case reflect.Float64:
		return &schema{Type: "number"}
	case reflect.String:
		return &schema{Type: "string"}
	default:
		panic(fmt.Sprintf("openapi: no schema for %s", t))
	}
}

// name makes the schema of a struct, and returns its name: a page of Jobs is a JobPage.
func (s *schemas) name(t reflect.Type, heading string) string {
	generic, of, isGeneric := strings.Cut(t.Name(), "[")
	name := generic
	if isGeneric {
		name = strings.TrimSuffix(of[strings.LastIndex(of, ".")+1:], "]") + generic
	}
	name = strings.ToUpper(name[:1]) + name[1:]
	if s.named[name] != nil {
		return name
	}
	made := &schema{Type: "object"}
	s.named[name] = made // before its fields, which may refer to it
	under := headings[generic]
	if under == nil {
		under = []string{heading}
	} else {
		made.Description = s.manual.at(under[0]).prose
	}
	s.fields(made, name, t, under)
	if requests[name] {
		made.AdditionalProperties = false
	}
	if extra := facts[name]; extra != nil {
		extra(made)
	}
	return name
}

// fields adds those of t to an object. All fields of a request may be absent or null; in a
// response, fields that are always there are required, and null only where there is a
// pointer.
func (s *schemas) fields(object *schema, name string, t reflect.Type, under []string) {
	for f := range t.Fields() {
		if f.Anonymous {
			s.embed(object, name, f.Type, under)
			continue
		}
		field, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if field == "-" || slices.Contains(without[name], field) {
			continue
		}
		made := s.of(f.Type, under[0])
		for _, key := range []string{field, name + "." + field} {
			if extra := facts[key]; extra != nil {
				extra(made)
			}
		}
		if r, ok := check.Ranges[field]; ok && requests[name] {
			made.Minimum, made.Maximum, made.Default = &r.Least, &r.Most, r.Default
		}
		always := !strings.Contains(options, "omit")
		if requests[name] || always && f.Type.Kind() == reflect.Pointer {
			made.orNull()
		}
		if always && !requests[name] {
			object.Required = append(object.Required, field)
		}
		for _, heading := range under {
			if _, said := s.manual.at(heading).words("field"); said[field] != nil {
				made.Description = last(said[field])
			}
		}
		object.Properties = append(object.Properties, property{field, made})
	}
}

// embed adds the fields of a struct that is part of an object; behind a pointer it may be
// missing, with all of its fields.
func (s *schemas) embed(object *schema, name string, t reflect.Type, under []string) {
	if t.Kind() != reflect.Pointer {
		s.fields(object, name, t, under)
		return
	}
	required := object.Required
	s.fields(object, name, t.Elem(), under)
	object.Required = required
}

// orNull allows null.
func (s *schema) orNull() {
	switch t := s.Type.(type) {
	case string:
		s.Type = []string{t, "null"}
	case []string:
		s.Type = slices.Concat(t, []string{"null"})
	}
	if s.Enum != nil {
		s.Enum = append(slices.Clone(s.Enum), nil)
	}
}
