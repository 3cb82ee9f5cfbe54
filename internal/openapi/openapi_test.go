package openapi

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/check"
	"github.com/ringback/ringback/internal/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEachEnumerationHasAllWordsOfItsType(t *testing.T) {
	t.Parallel()
	coded := constants(t)
	for kind, words := range enums {
		var listed []string
		for _, w := range words {
			listed = append(listed, w.(string))
		}
		if d := cmp.Diff(coded[kind.Name()], listed); d != "" {
			t.Errorf("ringback.%s: constants (-) and words of the enumeration (+):\n%s", kind.Name(), d)
		}
		delete(coded, kind.Name())
	}
	for kind := range coded {
		t.Errorf("ringback.%s has constants, but no enumeration", kind)
	}
}

// constants returns the typed string constants of package ringback, by type.
func constants(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	files, err := filepath.Glob("../../*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("the files of package ringback: %v, %v", files, err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, _ := n.(*ast.ValueSpec)
			if spec == nil {
				return true
			}
			kind, _ := spec.Type.(*ast.Ident)
			for _, value := range spec.Values {
				if text, ok := value.(*ast.BasicLit); ok && kind != nil && text.Kind == token.STRING {
					word, err := strconv.Unquote(text.Value)
					if err != nil {
						t.Fatal(err)
					}
					found[kind.Name] = append(found[kind.Name], word)
				}
			}
			return true
		})
	}
	return found
}

// everything returns all schemas.
func everything() schemas {
	m := readManual()
	s := schemas{m, map[string]*schema{}}
	for _, t := range []reflect.Type{
		reflect.TypeFor[ringback.Request](), reflect.TypeFor[ringback.Accepted](), reflect.TypeFor[ringback.Event](),
		reflect.TypeFor[ringback.Page[ringback.Job]](), reflect.TypeFor[ringback.Page[ringback.Attempt]](),
		reflect.TypeFor[ringback.Page[ringback.Delivery]](), reflect.TypeFor[ringback.Page[ringback.Node]](), reflect.TypeFor[ringback.DeadAction](),
		reflect.TypeFor[ringback.DeadDone](), reflect.TypeFor[ringback.Error](), reflect.TypeFor[node.Readiness](), reflect.TypeFor[ringback.StreamEvent](),
	} {
		s.of(t, "`GET /readyz`")
	}
	s.named["Health"] = &schema{Properties: properties{{"status", nil}}} // it belongs to package api
	return s
}

func TestNoFactIsAboutWhatIsGone(t *testing.T) {
	t.Parallel()
	all := everything()
	has := func(name, field string) bool {
		s := all.named[name]
		return s != nil && slices.ContainsFunc(s.Properties, func(p property) bool { return p.name == field })
	}
	for about := range facts {
		name, field, isOfOne := strings.Cut(about, ".")
		found := has(name, field)
		for of := range all.named {
			found = found || !isOfOne && (about == of || has(of, about))
		}
		if !found {
			t.Errorf("there is a fact about %s, which is gone", about)
		}
	}
	for number := range check.Ranges {
		if !has("Request", number) && !has("DeadAction", number) {
			t.Errorf("there is a range of %s, which no request has", number)
		}
	}
}

func TestTheManualHasWhatTheDocumentTakesFromIt(t *testing.T) {
	t.Parallel()
	m := readManual()
	for name, under := range headings {
		for _, heading := range under {
			if _, said := m.at(heading).words("field"); len(said) == 0 {
				t.Errorf("docs/ has no table of fields under %q, for %s", heading, name)
			}
		}
	}
	for name, kind := range kinds {
		if len(m.examples(new(section), kind)) == 0 {
			t.Errorf("docs/ has no example marked %q, for %s", kind, name)
		}
	}
	for _, code := range wordsOf[ringback.Code]() {
		if _, said := m.at("Errors").words("code"); len(said[code.(string)]) != 2 {
			t.Errorf("docs/api.md does not say what %s means, with an example", code)
		}
	}
}
