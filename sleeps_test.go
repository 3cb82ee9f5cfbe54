package ringback_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// maySleep are the functions of tests that sleep outside a bubble of synctest, with the
// reason why they can't wait for an event instead.
var maySleep = map[string]string{
	"e2e/key_test.go: TestAKeyThatIsRefusedFailsNoJob":                                  "how seldom a refused key is used in a time is what is tested",
	"e2e/live_slow_unix_test.go: TestReadersThatReadNoMoreCostOnlyThemselves":           "nothing shows when a WebSocket that is late has its last chance",
	"e2e/siege_api_test.go: Read":                                                       "a caller that sends slowly",
	"e2e/strangers_linux_test.go: deaf":                                                 "a stranger that does nothing for a while",
	"e2e/strangers_linux_test.go: drips":                                                "a stranger that sends slowly",
	"internal/api/stream_test.go: TestAReaderThatIsLateIsToldWhereToResume":             "a reader that is late; nothing shows when it has its last chance",
	"internal/cluster/part_test.go: next":                                               "is called in bubbles",
	"internal/conns/cost_test.go: costOf":                                               "nothing shows that half a head was read",
	"internal/limit/storm_test.go: do":                                                  "is called in bubbles",
	"internal/limit/storm_test.go: takeWalk":                                            "is called in bubbles",
	"internal/limit/storm_test.go: wait":                                                "is called in bubbles",
	"internal/node/member_test.go: TestNothingIsLostHoweverOftenNodesAreLost":           "chance decides whether a node is swept before it is back",
	"internal/node/sendscheduler_test.go: TestTheQueueOfASlowHostIsShort":               "a receiver that takes its time",
	"internal/node/sendscheduler_test.go: answer":                                       "a receiver that takes its time",
	"internal/node/steady_test.go: TestARevokedKeyIsCalledSeldomWhileJobsWait":          "how seldom a revoked key is used in a time is what is tested",
	"internal/provider/call_test.go: wait":                                              "is called in bubbles",
	"internal/store/postgres/lost_test.go: TestConnectionsThatAreCutLoseNothing":        "chance decides what a cut hits",
	"internal/store/postgres/upload_test.go: TestContentThatWasUploadedInVainIsNotKept": "nothing shows that a settle waits for its turn",
	"internal/store/postgres/upload_test.go: slowLink":                                  "a slow link",
	"internal/webhook/hostile_test.go: drip":                                            "a receiver that answers slowly",
}

func TestTestsWaitForEventsInsteadOfSleeping(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, files := range testFiles(t) {
		bubbles := bubbles(files)
		for path, file := range files {
			for _, d := range file.Decls {
				f, ok := d.(*ast.FuncDecl)
				if !ok || !calls(f, "time.Sleep") || bubbles[f.Name.Name] {
					continue
				}
				name := filepath.ToSlash(path) + ": " + f.Name.Name
				seen[name] = true
				if maySleep[name] == "" {
					t.Errorf("%s sleeps: simulate time (testing/synctest) or wait for an event; if neither can be, put it into maySleep with the reason", name)
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(maySleep)) {
		if !seen[name] {
			t.Errorf("%s no longer sleeps: remove it from maySleep", name)
		}
	}
}

// testFiles parses the tests of this module, by directory and path.
func testFiles(t *testing.T) map[string]map[string]*ast.File {
	t.Helper()
	all := map[string]map[string]*ast.File{}
	set := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != "."):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := filepath.Dir(path)
		if all[dir] == nil {
			all[dir] = map[string]*ast.File{}
		}
		all[dir][path] = file
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// bubbles returns the functions of some files that run something in a bubble of synctest,
// themselves or by calling another one of these.
func bubbles(files map[string]*ast.File) map[string]bool {
	found := map[string]bool{}
	for more := true; more; {
		more = false
		for _, file := range files {
			for _, d := range file.Decls {
				f, ok := d.(*ast.FuncDecl)
				if ok && !found[f.Name.Name] && (calls(f, "synctest.Test") || slices.ContainsFunc(slices.Collect(maps.Keys(found)), func(name string) bool { return calls(f, name) })) {
					found[f.Name.Name], more = true, true
				}
			}
		}
	}
	return found
}

// calls reports whether a function calls another one, given as in f(x) or p.f(x).
func calls(f *ast.FuncDecl, name string) (found bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return !found
		}
		switch to := call.Fun.(type) {
		case *ast.Ident:
			found = found || to.Name == name
		case *ast.SelectorExpr:
			of, ok := to.X.(*ast.Ident)
			found = found || ok && of.Name+"."+to.Sel.Name == name
		}
		return !found
	})
	return found
}
