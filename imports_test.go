package ringback_test

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ringback/ringback"

// mayImport says for each package which packages of this module it may import;
// imports run one way, cmd → api → node → {intake, cluster, delivery, live, reading} →
// {outcome, protocol, provider, webhook, limit, store} → root. The root is ".". A
// package that is not here yet is put here when it comes.
var mayImport = map[string][]string{
	".":                          {},
	"client":                     {".", "internal/sse"},
	"examples/receivers/go":      {"."},
	"internal/sse":               {},
	"internal/earlyanswer":       {},
	"internal/conns":             {"internal/metrics"},
	"internal/clock":             {},
	"internal/metrics":           {},
	"internal/memory":            {},
	"internal/longjson":          {},
	"internal/backoff":           {},
	"internal/shortage":          {},
	"internal/limit":             {"internal/backoff"},
	"internal/telemetry":         {"internal/metrics"},
	"internal/simulate":          {}, // so that it shares no mistake with what it is to test
	"internal/postgrestest":      {},
	"internal/chromiumtest":      {},
	"internal/protocoltest":      {"internal/sse"},
	"internal/store/groupcommit": {"internal/metrics"},
	"internal/store":             {"."},
	"internal/store/storetest":   {".", "internal/store"},
	"internal/store/column":      {"."},
	"internal/store/backlog":     {".", "internal/store", "internal/store/column"},
	"internal/store/sqlite":      {".", "internal/store", "internal/store/groupcommit", "internal/store/column", "internal/store/backlog", "internal/shortage", "internal/metrics"},
	"internal/store/postgres":    {".", "internal/store", "internal/store/groupcommit", "internal/store/column", "internal/store/backlog", "internal/backoff", "internal/metrics"},
	"internal/strictjson":        {},
	"internal/protocol":          {".", "internal/protocol/apierror", "internal/sse", "internal/strictjson"},
	"internal/protocol/apierror": {"internal/backoff", "internal/strictjson"},
	"internal/provider":          {".", "internal/protocol", "internal/protocol/apierror", "internal/sse", "internal/earlyanswer", "internal/shortage", "internal/strictjson"},
	"internal/supervise":         {"internal/backoff", "internal/clock", "internal/shortage", "internal/store"},
	"internal/cluster":           {"internal/backoff", "internal/clock", "internal/metrics", "internal/store", "internal/supervise"},
	"internal/webhook":           {".", "internal/sse", "internal/backoff", "internal/earlyanswer", "internal/shortage", "internal/strictjson"},
	"internal/outcome":           {".", "internal/provider", "internal/store", "internal/backoff"},
	"internal/reading": {
		".", "internal/check", "internal/clock", "internal/longjson", "internal/memory", "internal/protocol", "internal/refusal", "internal/store",
		"internal/supervise", "internal/webhook",
	},
	"internal/live": {
		".", "internal/protocol", "internal/webhook", "internal/store", "internal/refusal", "internal/supervise", "internal/joblog",
		"internal/metrics", "internal/memory", "internal/telemetry", "internal/sse", "internal/backoff", "internal/clock",
	},
	"internal/intake": {
		".", "internal/check", "internal/clock", "internal/memory", "internal/protocol", "internal/provider", "internal/refusal",
		"internal/store", "internal/supervise", "internal/telemetry", "internal/webhook",
	},
	"internal/check":   {".", "internal/protocol", "internal/store"},
	"internal/refusal": {".", "internal/store", "internal/supervise"},
	"internal/dispatch": {
		".", "internal/backoff", "internal/clock", "internal/joblog", "internal/limit", "internal/memory", "internal/metrics",
		"internal/outcome", "internal/protocol", "internal/provider", "internal/store", "internal/supervise", "internal/telemetry",
	},
	"internal/joblog": {"internal/store", "internal/telemetry"},
	"internal/delivery": {
		".", "internal/backoff", "internal/check", "internal/clock", "internal/joblog", "internal/limit", "internal/memory", "internal/metrics",
		"internal/protocol", "internal/refusal", "internal/store", "internal/supervise", "internal/telemetry", "internal/webhook",
	},
	"internal/node": {
		".", "internal/outcome", "internal/protocol", "internal/provider", "internal/webhook", "internal/limit", "internal/live", "internal/store",
		"internal/memory", "internal/telemetry", "internal/shortage", "internal/longjson", "internal/backoff", "internal/clock", "internal/cluster",
		"internal/supervise", "internal/metrics", "internal/intake",
		"internal/check", "internal/refusal", "internal/reading", "internal/delivery", "internal/dispatch",
	},
	"internal/openapi":   {".", "docs", "internal/check", "internal/node"},
	"internal/swaggerui": {},
	"internal/api": {
		".", "internal/api/fanout", "internal/conns", "internal/node", "internal/reading", "internal/openapi", "internal/swaggerui", "internal/memory",
		"internal/telemetry", "internal/longjson", "internal/strictjson", "internal/metrics", "internal/refusal", "internal/intake", "internal/supervise",
	},
	"internal/api/fanout": {
		".", "internal/conns", "internal/live", "internal/reading", "internal/longjson", "internal/sse", "internal/metrics", "internal/supervise",
	},
	"internal/exit":     {},
	"internal/address":  {"internal/exit"},
	"internal/plain":    {"."},
	"internal/why":      {".", "internal/plain"},
	"internal/terminal": {".", "internal/plain"},
	"internal/demo":     {".", "client", "internal/simulate", "internal/backoff", "internal/address", "internal/plain", "internal/terminal", "internal/exit"},
	"internal/listen":   {".", "internal/address", "internal/plain", "internal/terminal", "internal/exit"},
	"internal/config":   {".", "client", "internal/api", "internal/intake", "internal/node", "internal/protocol", "internal/provider", "internal/address", "internal/exit"},
	"internal/cli": {
		".", "internal/cli/submit", "internal/cli/jobs", "internal/cli/deliveries", "internal/cli/dead", "internal/cli/remote",
		"internal/plain", "internal/terminal",
	},
	"internal/cli/dead": {
		".", "client", "internal/cli/jobs", "internal/cli/remote", "internal/backoff", "internal/why", "internal/plain", "internal/terminal", "internal/exit",
	},
	"internal/cli/deliveries": {".", "client", "internal/cli/jobs", "internal/cli/remote", "internal/plain", "internal/terminal", "internal/exit"},
	"internal/cli/jobs": {
		".", "client", "internal/cli/answer", "internal/cli/remote", "internal/config", "internal/backoff", "internal/why", "internal/plain", "internal/terminal",
		"internal/exit",
	},
	"internal/cli/submit": {".", "client", "internal/cli/answer", "internal/cli/remote", "internal/backoff", "internal/plain", "internal/terminal", "internal/exit"},
	"internal/cli/answer": {".", "client", "internal/cli/remote", "internal/why", "internal/plain", "internal/terminal", "internal/exit"},
	"internal/cli/remote": {".", "client", "internal/config", "internal/plain", "internal/terminal", "internal/exit"},
	"cmd/ringback": {
		".", "internal/cli", "internal/demo", "internal/listen", "internal/config", "internal/address", "internal/plain", "internal/terminal", "internal/exit",
		"internal/api", "internal/conns", "internal/intake", "internal/node", "internal/provider", "internal/webhook", "internal/memory",
		"internal/store", "internal/store/sqlite", "internal/store/postgres", "internal/telemetry", "internal/simulate", "internal/backoff",
	},
	"deploy": {},
	"docs":   {},
	"e2e":    {},
}

// forTests is what the tests of every package may import too, with all that those packages
// import.
var forTests = []string{
	".", "client", "internal/simulate", "internal/postgrestest", "internal/chromiumtest", "internal/store/sqlite",
	"internal/store/postgres", "internal/store/storetest", "internal/protocoltest",
}

// theServer is what the tests of the client may import: they talk to the real one.
var theServer = []string{"internal/api"}

// standardOnly are the packages that users import or copy: they have no dependencies.
var standardOnly = []string{".", "client", "examples/receivers/go"}

type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func TestImportsRunOneWay(t *testing.T) {
	t.Parallel()
	for _, p := range listPackages(t) {
		name := short(p.ImportPath)
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("%s is not in the table of imports: put it there, with what it may import", name)
			continue
		}
		for _, i := range own(p.Imports) {
			if !slices.Contains(allowed, i) {
				t.Errorf("%s must not import %s", name, i)
			}
		}
		inTests := slices.Concat(forTests, allowed, []string{name})
		if name == "client" {
			inTests = append(inTests, theServer...)
		}
		reachable := below(inTests)
		for _, i := range own(slices.Concat(p.TestImports, p.XTestImports)) {
			if !reachable[i] {
				t.Errorf("the tests of %s must not import %s", name, i)
			}
		}
	}
}

func TestWhatUsersImportBringsNothingAlong(t *testing.T) {
	t.Parallel()
	packages := listPackages(t)
	ours := []string{module, module + "/internal/sse"} // which has no dependencies either
	for _, name := range standardOnly {
		at := slices.IndexFunc(packages, func(p listed) bool { return short(p.ImportPath) == name })
		if at < 0 {
			t.Errorf("there is no package %s", name)
			continue
		}
		for _, i := range packages[at].Imports {
			first, _, _ := strings.Cut(i, "/")
			if strings.Contains(first, ".") && !slices.Contains(ours, i) {
				t.Errorf("%s must not import %s: it imports the standard library, this module's root and internal/sse", name, i)
			}
		}
	}
}

func TestTheTableOfImportsNamesNoPackageThatIsGone(t *testing.T) {
	t.Parallel()
	var have []string
	for _, p := range listPackages(t) {
		have = append(have, short(p.ImportPath))
	}
	for name := range maps.Keys(mayImport) {
		if !slices.Contains(have, name) {
			t.Errorf("the table of imports names %s, which does not exist", name)
		}
	}
}

// listPackages asks go list, which does not need the packages to compile.
func listPackages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatalf("read what go list says: %v", err)
		}
		if !strings.Contains(p.ImportPath, "/node_modules/") { // of npm, not ours
			packages = append(packages, p)
		}
	}
}

// own returns the packages of this module among imports, by their short names.
func own(imports []string) []string {
	var names []string
	for _, i := range imports {
		if i == module || strings.HasPrefix(i, module+"/") {
			names = append(names, short(i))
		}
	}
	return names
}

func short(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

// below returns the packages and all that they may import, directly or not.
func below(names []string) map[string]bool {
	found := map[string]bool{}
	for len(names) > 0 {
		name := names[0]
		names = names[1:]
		if !found[name] {
			found[name] = true
			names = append(names, mayImport[name]...)
		}
	}
	return found
}
