package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// route is a line of the API's table.
type route struct {
	method, path string
	query        []string
}

// routes reads the table in internal/api/routes.go: the literals that have a
// method and a path.
func routes(t *testing.T) []route {
	t.Helper()
	file := parse(t, "internal/api/routes.go")
	var all []route
	lists := map[string][]string{} // variables that hold parameters
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if name, ok := n.Lhs[0].(*ast.Ident); ok {
				lists[name.Name] = texts(n.Rhs[0], lists)
			}
		case *ast.CompositeLit:
			var r route
			for _, e := range n.Elts {
				if field, ok := e.(*ast.KeyValueExpr); ok {
					values := texts(field.Value, lists)
					switch name, _ := field.Key.(*ast.Ident); {
					case name == nil || len(values) == 0:
					case name.Name == "method":
						r.method = values[0]
					case name.Name == "path":
						r.path = values[0]
					case name.Name == "query":
						r.query = values
					}
				}
			}
			if r.method != "" && r.path != "" {
				all = append(all, r)
			}
		}
		return true
	})
	if len(all) == 0 {
		t.Fatal("internal/api/routes.go holds no route with a method and a path")
	}
	return all
}

// texts returns the strings of an expression: a literal, a list of literals, or a variable
// that holds one.
func texts(e ast.Expr, lists map[string][]string) []string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return []string{text}
		}
	case *ast.Ident:
		return lists[e.Name]
	case *ast.CompositeLit:
		var all []string
		for _, element := range e.Elts {
			all = append(all, texts(element, lists)...)
		}
		return all
	}
	return nil
}

// constants reads the string constants of package ringback that have one of the
// types.
func constants(t *testing.T, types ...string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, kind := range types {
		found[kind] = nil
	}
	files, err := filepath.Glob(filepath.Join(root, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		ast.Inspect(parse(t, filepath.Base(file)), func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			kind, ok := spec.Type.(*ast.Ident)
			if !ok || !slices.Contains(types, kind.Name) {
				return true
			}
			for _, value := range spec.Values {
				found[kind.Name] = append(found[kind.Name], texts(value, nil)...)
			}
			return true
		})
	}
	return found
}

// exitCodes reads the constants of internal/exit/exit.go, in their order.
func exitCodes(t *testing.T) []string {
	t.Helper()
	var codes []string
	ast.Inspect(parse(t, "internal/exit/exit.go"), func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Names) != 1 || len(spec.Values) != 1 {
			return true
		}
		if number, ok := spec.Values[0].(*ast.BasicLit); ok && number.Kind == token.INT {
			codes = append(codes, number.Value)
		}
		return true
	})
	if len(codes) == 0 {
		t.Fatal("internal/exit/exit.go holds no exit codes")
	}
	return codes
}

// parse reads a Go file by its path from the root.
func parse(t *testing.T, path string) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, read(t, path), 0)
	if err != nil {
		t.Fatal(err)
	}
	return file
}
