package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// document is the configuration file. It is a [koanf.Parser] that also keeps the line of
// each key, so that an error can name it.
type document struct {
	path      string
	lines     map[string]int // of top-level keys
	providers []entry
	routes    []ast.Node
}

// entry is a key of a mapping and its value.
type entry struct {
	key   string
	line  int
	value ast.Node
}

// Unmarshal returns the settings by their keys, each a string or a []string. It keeps
// providers and routes in d.
func (d *document) Unmarshal(content []byte) (map[string]any, error) {
	d.lines = map[string]int{}
	parsed, err := parser.ParseBytes(content, 0)
	if err != nil {
		return nil, d.syntax(err)
	}
	if len(parsed.Docs) > 1 {
		return nil, fmt.Errorf("%s: has %d documents; it must have one", d.path, len(parsed.Docs))
	}
	values := map[string]any{}
	if len(parsed.Docs) == 0 || parsed.Docs[0].Body == nil {
		return values, nil
	}
	entries, err := d.entries("the file", parsed.Docs[0].Body)
	for _, e := range entries {
		d.lines[e.key] = e.line
		if err = d.take(e, values); err != nil {
			break
		}
	}
	return values, err
}

// take reads one top-level key.
func (d *document) take(e entry, values map[string]any) (err error) {
	switch i := slices.IndexFunc(Settings, func(s Setting) bool { return s.Key == e.key && e.key != "" }); {
	case e.key == "providers":
		d.providers, err = d.entries("providers", e.value)
	case e.key == "routes":
		d.routes, err = d.items("routes", e.value)
	case i < 0:
		err = d.at(e.line, "there is no key %q; there are %s", e.key, strings.Join(topLevelKeys(), ", "))
	case Settings[i].list:
		var list []string
		if list, err = d.list(e); err == nil && list != nil {
			values[e.key] = list
		}
	default:
		var text string
		if text, err = d.scalar(e); err == nil && text != "" {
			values[e.key] = text
		}
	}
	return err
}

func topLevelKeys() []string {
	keys := []string{"providers", "routes"}
	for _, s := range Settings {
		if s.Key != "" {
			keys = append(keys, s.Key)
		}
	}
	slices.Sort(keys)
	return keys
}

// Marshal is unused; [koanf.Parser] requires it.
func (*document) Marshal(map[string]any) ([]byte, error) {
	return nil, errors.New("the configuration is not written")
}

// entries returns the keys and values of a mapping, in the order of the file.
func (d *document) entries(of string, n ast.Node) ([]entry, error) {
	if _, null := n.(*ast.NullNode); null {
		return nil, nil
	}
	m, ok := n.(ast.MapNode)
	if !ok {
		return nil, d.at(line(n), "%s must hold keys with values, like addr: 127.0.0.1:8080", of)
	}
	var entries []entry
	for i := m.MapRange(); i.Next(); {
		key := i.Key().GetToken()
		entries = append(entries, entry{key.Value, key.Position.Line, i.Value()})
	}
	return entries, nil
}

// items returns the values of a list.
func (d *document) items(of string, n ast.Node) ([]ast.Node, error) {
	if _, null := n.(*ast.NullNode); null {
		return nil, nil
	}
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		return nil, d.at(line(n), "%s must be a list; begin each item with a dash", of)
	}
	return s.Values, nil
}

func (d *document) list(e entry) ([]string, error) {
	if _, ok := e.value.(*ast.SequenceNode); !ok {
		text, err := d.scalar(e)
		return []string{text}, err
	}
	items, err := d.items(e.key, e.value)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, item := range items {
		text, err := d.scalar(entry{e.key, line(item), item})
		if err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	return list, nil
}

// scalar returns a plain value as it is written, or "" for null.
func (d *document) scalar(e entry) (string, error) {
	switch n := e.value.(type) {
	case *ast.NullNode:
		return "", nil
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil
	default:
		return "", d.at(e.line, "%s must be one plain value", e.key)
	}
}

// where returns the file, the line and the name of a top-level key.
func (d *document) where(key string) string {
	return fmt.Sprintf("%s:%d: %s", d.path, d.lines[key], key)
}

func (d *document) at(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", d.path, line, fmt.Errorf(format, args...))
}

// syntax returns a syntax error in one line; the parser uses several.
func (d *document) syntax(err error) error {
	if e, ok := errors.AsType[yaml.Error](err); ok && e.GetToken() != nil {
		return d.at(e.GetToken().Position.Line, "is not YAML: %s", e.GetMessage())
	}
	return fmt.Errorf("%s: is not YAML: %w", d.path, err)
}

func line(n ast.Node) int {
	if t := n.GetToken(); t != nil {
		return t.Position.Line
	}
	return 1
}
