// Package docs_test checks the documents against the code: links lead somewhere, routes and
// fields are those of the code, examples are valid.
package docs_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ringback/ringback"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const root = ".."

func TestEveryRelativeLinkResolves(t *testing.T) {
	t.Parallel()
	for _, doc := range documents(t) {
		for _, target := range links(prose(read(t, doc))) {
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			path, anchor, _ := strings.Cut(target, "#")
			to := doc
			if path != "" {
				to = filepath.Join(filepath.Dir(doc), path)
			}
			info, err := os.Stat(filepath.Join(root, to))
			switch {
			case err != nil:
				t.Errorf("%s links to %s, which is not there", doc, target)
			case anchor != "" && (info.IsDir() || !slices.Contains(anchors(read(t, to)), anchor)):
				t.Errorf("%s links to %s, but %s has no such heading", doc, target, to)
			}
		}
	}
}

func TestTheAPIDocumentHasTheRoutesOfTheCode(t *testing.T) {
	t.Parallel()
	var documented, coded []string
	heading := regexp.MustCompile("(?m)^#+ `([A-Z]+ /[^`]*)`$")
	for _, m := range heading.FindAllStringSubmatch(read(t, "docs/api.md"), -1) {
		documented = append(documented, m[1])
	}
	for _, r := range routes(t) {
		coded = append(coded, r.method+" "+r.path)
	}
	if diff := cmp.Diff(sorted(coded), sorted(documented)); diff != "" {
		t.Errorf("routes: the code's (-) and those with a heading in docs/api.md (+):\n%s", diff)
	}
}

func TestTheAPIDocumentHasEachQueryParameter(t *testing.T) {
	t.Parallel()
	for _, r := range routes(t) {
		section := section(t, "docs/api.md", "`"+r.method+" "+r.path+"`")
		for _, parameter := range r.query {
			if !strings.Contains(section, "`"+parameter) {
				t.Errorf("docs/api.md, %s %s: the query parameter %s is missing", r.method, r.path, parameter)
			}
		}
	}
}

// tables maps tables of docs/api.md to the structs whose fields they list.
var tables = []struct {
	heading string
	of      reflect.Type
}{
	{"The request", reflect.TypeFor[ringback.Request]()},
	{"The response", reflect.TypeFor[ringback.Accepted]()},
	{"The job", reflect.TypeFor[ringback.Job]()},
	{"`webhook` of a job", reflect.TypeFor[ringback.Webhook]()},
	{"`error_detail` of a job", reflect.TypeFor[ringback.ErrorDetail]()},
	{"An attempt", reflect.TypeFor[ringback.Attempt]()},
	{"A delivery", reflect.TypeFor[ringback.Delivery]()},
	{"A try", reflect.TypeFor[ringback.Try]()},
	{"A page", reflect.TypeFor[ringback.Page[int]]()},
	{"A bulk request", reflect.TypeFor[ringback.DeadAction]()},
	{"A bulk response", reflect.TypeFor[ringback.DeadDone]()},
	{"Errors", reflect.TypeFor[ringback.Error]()},
}

func TestTheAPIDocumentHasTheFieldsOfTheStructs(t *testing.T) {
	t.Parallel()
	for _, table := range tables {
		documented := firstColumn(section(t, "docs/api.md", table.heading), "field")
		if diff := cmp.Diff(sorted(jsonNames(table.of)), sorted(documented)); diff != "" {
			t.Errorf("docs/api.md, %q: fields of ringback.%s (-) and of the table (+):\n%s", table.heading, table.of.Name(), diff)
		}
	}
}

func TestTheAPIDocumentNamesEveryWordOfTheCode(t *testing.T) {
	t.Parallel()
	api := read(t, "docs/api.md")
	kinds := constants(t, "Status", "AttemptOutcome", "Code", "ErrorDetailCode", "EventType", "WebhookBody", "RetryUncertain", "DeliveryStatus")
	for kind, words := range kinds {
		if len(words) == 0 {
			t.Errorf("package ringback has no constant of type %s", kind)
		}
		for _, word := range words {
			if !strings.Contains(api, "`"+word+"`") && !strings.Contains(api, `"`+word+`"`) {
				t.Errorf("docs/api.md does not name %q, a ringback.%s", word, kind)
			}
		}
	}
}

func TestTheOperationsDocumentHasTheExitCodesOfTheCode(t *testing.T) {
	t.Parallel()
	documented := firstColumn(section(t, "docs/operations.md", "Exit codes"), "code")
	if diff := cmp.Diff(exitCodes(t), documented); diff != "" {
		t.Errorf("exit codes: the code's (-) and those of docs/operations.md (+):\n%s", diff)
	}
}

// Each promise links to tests. The text of such a link is the name of a test, its sentence,
// or the first comment of a script, and occurs in the file that the link leads to.
func TestEachPromiseNamesATestThatExists(t *testing.T) {
	t.Parallel()
	const page = "docs/promises.md"
	row := regexp.MustCompile(`(?m)^\| \*\*(P\d)\*\* .*$`)
	link := regexp.MustCompile("\\[`([^`]+)`\\]\\(\\.\\./([^)]+_test\\.go|internal/store/storetest/[^)]+\\.go|[^)]+\\.txtar)\\)")
	var promises []string
	for _, m := range row.FindAllStringSubmatch(read(t, page), -1) {
		promises = append(promises, m[1])
		proofs := link.FindAllStringSubmatch(m[0], -1)
		if len(proofs) == 0 {
			t.Errorf("%s: %s links to no test", page, m[1])
		}
		for _, proof := range proofs {
			name, file := proof[1], proof[2]
			want := `"` + name + `"`
			switch {
			case strings.HasPrefix(name, "Test"):
				want = "func " + name + "("
			case filepath.Ext(file) == ".txtar":
				want = "# " + name
			}
			if !strings.Contains(read(t, file), want) {
				t.Errorf("%s: %s is proven by %q, which %s does not hold", page, m[1], name, file)
			}
		}
	}
	if want := []string{"P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8"}; !slices.Equal(want, promises) {
		t.Errorf("%s has the promises %v, want %v", page, promises, want)
	}
}

// The vector in docs/webhooks.md is what this module signs, and verifies.
func TestTheVectorInTheDocumentsIsRight(t *testing.T) {
	t.Parallel()
	value := map[string]string{}
	for _, f := range fences(read(t, "docs/webhooks.md")) {
		if f.language == "text" {
			for line := range strings.Lines(f.text) {
				name, rest, _ := strings.Cut(line, " ")
				value[name] = strings.TrimSpace(rest)
			}
		}
	}
	secret, err := ringback.ParseSecret(value["secret"])
	if err != nil {
		t.Fatal(err)
	}
	seconds, err := strconv.ParseInt(value["webhook-timestamp"], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	signed := ringback.Sign(secret, value["webhook-id"], time.Unix(seconds, 0), []byte(value["body"]))
	for _, name := range []string{ringback.HeaderWebhookSignature, ringback.HeaderBodySignature} {
		if got, want := value[name], signed.Get(name); got != want {
			t.Errorf("docs/webhooks.md: %s is %q, want %q", name, got, want)
		}
	}
}

// A file or directory in backticks in ARCHITECTURE.md exists.
func TestTheArchitectureNamesFilesThatExist(t *testing.T) {
	t.Parallel()
	paths := regexp.MustCompile("`((?:cmd|client|docs|e2e|examples|internal)/[A-Za-z0-9_./-]*|[a-z_]+\\.go)`")
	found := paths.FindAllStringSubmatch(read(t, "ARCHITECTURE.md"), -1)
	if len(found) == 0 {
		t.Fatal("ARCHITECTURE.md names no file")
	}
	for _, m := range found {
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
			t.Errorf("ARCHITECTURE.md names %s, which is not there", m[1])
		}
	}
}

// examples are the possible second words after ```json.
var examples = map[string]func() any{
	"request":    func() any { return new(ringback.Request) },
	"accepted":   func() any { return new(ringback.Accepted) },
	"job":        func() any { return new(ringback.Job) },
	"jobs":       func() any { return new(ringback.Page[ringback.Job]) },
	"attempts":   func() any { return new(ringback.Page[ringback.Attempt]) },
	"deliveries": func() any { return new(ringback.Page[ringback.Delivery]) },
	"event":      func() any { return new(ringback.Event) },
	"error":      func() any { return new(ringback.Error) },
	"done":       func() any { return new(ringback.DeadDone) },
	"readiness": func() any {
		return new(struct {
			Ready  bool              `json:"ready"`
			Checks map[string]string `json:"checks"`
			Holds  []struct {
				Provider, Model, Reason string
				Until                   time.Time
			} `json:"holds"`
		})
	},
	"nodes": func() any { return new(ringback.Page[ringback.Node]) },
	"health": func() any {
		return new(struct {
			Status  string `json:"status"`
			Version string `json:"version"`
		})
	},
}

func TestEveryJSONExampleIsWhatItSays(t *testing.T) {
	t.Parallel()
	for _, doc := range documents(t) {
		for _, f := range fences(read(t, doc)) {
			if f.language != "json" {
				continue
			}
			like, ok := examples[f.kind]
			if !ok {
				t.Errorf("%s: a JSON example is marked %q; say what it is: json request, json job, …", doc, f.kind)
				continue
			}
			if err := strict(f.text, like()); err != nil {
				t.Errorf("%s: the example of a %s: %v\n%s", doc, f.kind, err, f.text)
			}
		}
	}
}

func TestEveryCurlAsksForARouteThatExists(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	for _, r := range routes(t) {
		mux.HandleFunc(r.method+" "+r.path, func(http.ResponseWriter, *http.Request) {})
	}
	for _, doc := range documents(t) {
		for _, f := range fences(read(t, doc)) {
			for _, c := range curls(f.text) {
				u, err := url.Parse(c.url)
				if err != nil || u.Host == "" {
					t.Errorf("%s: no URL in %s", doc, c.line)
					continue
				}
				r := &http.Request{Method: c.method, URL: u, Host: u.Host}
				if _, pattern := mux.Handler(r); pattern == "" {
					t.Errorf("%s: there is no route %s %s", doc, c.method, u.Path)
				}
				if c.body == "" || u.Path != "/api/generate" {
					continue
				}
				if err := strict(c.body, new(ringback.Request)); err != nil {
					t.Errorf("%s: %s: the body is no request: %v", doc, c.line, err)
				}
			}
		}
	}
}

// documents returns all of our Markdown files, by their paths from the root.
func documents(t *testing.T) []string {
	t.Helper()
	var docs []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (name == "node_modules" || name == "testdata" || strings.HasPrefix(name, ".") && path != root) {
			return filepath.SkipDir
		}
		if filepath.Ext(name) == ".md" {
			rel, err := filepath.Rel(root, path)
			docs = append(docs, rel)
			return err
		}
		return nil
	})
	if err != nil || len(docs) < 8 {
		t.Fatalf("documents: got %v, %v", docs, err)
	}
	return docs
}

// read reads a file by its path from the root.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func strict(text string, into any) error {
	d := json.NewDecoder(bytes.NewBufferString(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func jsonNames(t reflect.Type) []string {
	var names []string
	for f := range t.Fields() {
		if f.Anonymous && f.Tag.Get("json") == "" {
			names = append(names, jsonNames(f.Type)...)
		} else if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "-" {
			names = append(names, name)
		}
	}
	return names
}

func sorted(names []string) []string { return slices.Sorted(slices.Values(names)) }
