package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/docs"
	"github.com/ringback/ringback/internal/api"
)

// A part is a value in the document, with its JSON pointer.
type part struct {
	t       *testing.T
	value   any
	pointer string
}

// document returns the server's own description.
func (w *world) document() part {
	w.t.Helper()
	got := w.do("GET", "/openapi.json", "")
	if got.StatusCode != http.StatusOK || got.Header.Get("Content-Type") != "application/json" {
		w.t.Fatalf("got %s %s", got.Status, got.Header.Get("Content-Type"))
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(got.body))
	must(w.t, err)
	return part{w.t, value, ""}
}

// has follows the names of members, and references on the way.
func (p part) has(names ...string) (part, bool) {
	for _, name := range names {
		object, _ := p.value.(map[string]any)
		value, ok := object[name]
		if !ok {
			return p, false
		}
		p = part{p.t, value, p.pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)}
	}
	return p, true
}

func (p part) at(names ...string) part {
	p.t.Helper()
	found, ok := p.has(names...)
	if !ok {
		p.t.Fatalf("%s: there is no %q", p.pointer, names)
	}
	return found
}

func (p part) members() iter.Seq2[string, part] {
	return func(yield func(string, part) bool) {
		object, _ := p.value.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(object)) {
			if !yield(name, p.at(name)) {
				return
			}
		}
	}
}

// resolved follows a reference.
func (p part) resolved(document part) part {
	if ref, ok := p.has("$ref"); ok {
		return document.at(strings.Split(strings.TrimPrefix(ref.value.(string), "#/"), "/")...)
	}
	return p
}

// A validator validates against the schemas of a document, including formats.
type validator struct {
	document part
	compiler *jsonschema.Compiler
	key      string // of its requests; "" sends none
}

// newValidator first closes the schemas of responses: they must have nothing that the document
// does not name.
func newValidator(document part) *validator {
	for _, s := range document.at("components", "schemas").members() {
		if object := s.value.(map[string]any); object["additionalProperties"] == nil {
			object["additionalProperties"] = false
		}
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	must(document.t, c.AddResource("openapi.json", document.value))
	return &validator{document, c, ""}
}

// errorOf returns what is wrong with a body, by the schema.
func (j *validator) errorOf(schema part, body string) error {
	j.document.t.Helper()
	s, err := j.compiler.Compile("openapi.json#" + schema.pointer)
	must(j.document.t, err)
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	must(j.document.t, err)
	return s.Validate(value)
}

func TestTheLinterFindsNothingInTheDocument(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	cmd := exec.CommandContext(t.Context(), "node", "lint.js")
	cmd.Dir = "testdata/web"
	cmd.Stdin = strings.NewReader(w.do("GET", "/openapi.json", "").body)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("the linter, which npm ci --prefix internal/api/testdata/web installs: %v\n%s", err, out)
	}
}

func TestEachExampleIsWhatItsSchemaSays(t *testing.T) {
	t.Parallel()
	document := start(t, setup{}).document()
	v, seen := newValidator(document), 0
	var walk func(p part)
	walk = func(p part) {
		schema, hasSchema := p.has("schema")
		var examples []part
		if one, ok := p.has("example"); ok {
			examples = append(examples, one)
		}
		if all, ok := p.has("examples"); ok {
			for _, e := range all.members() {
				examples = append(examples, e.at("value"))
			}
		}
		for _, e := range examples {
			text, err := json.Marshal(e.value)
			must(t, err)
			if !hasSchema {
				t.Errorf("%s has no schema", e.pointer)
			} else if err := v.errorOf(schema, string(text)); err != nil {
				t.Errorf("%s: %v", e.pointer, err)
			}
			seen++
		}
		if _, isJSON := p.has("application/json", "schema"); isJSON && !strings.Contains(p.pointer, "openapi.json") {
			if media := p.at("application/json"); len(media.value.(map[string]any)) < 2 {
				t.Errorf("%s has no example", media.pointer)
			}
		}
		for name, child := range p.members() {
			if name != "example" && name != "examples" && name != "schemas" {
				walk(child)
			}
		}
	}
	walk(document)
	if seen < 30 {
		t.Errorf("there are %d examples", seen)
	}
}

func TestEachOperationIsExplained(t *testing.T) {
	t.Parallel()
	document := start(t, setup{}).document()
	explained := func(p part, what string) {
		if text, ok := p.has(what); !ok || text.value == "" {
			t.Errorf("%s has no %s; docs/api.md is where it is written", p.pointer, what)
		}
	}
	ids := map[any]string{}
	for _, section := range []string{"paths", "webhooks"} {
		for _, path := range document.at(section).members() {
			for _, o := range path.members() {
				explained(o, "summary")
				explained(o, "description")
				if id := o.at("operationId"); ids[id.value] != "" {
					t.Errorf("%s and %s have the same operationId", id.pointer, ids[id.value])
				} else {
					ids[id.value] = id.pointer
				}
				parameters, _ := o.has("parameters")
				list, _ := parameters.value.([]any)
				for i, p := range list {
					parameter := part{t, p, parameters.pointer + "/" + strconv.Itoa(i)}
					explained(parameter, "name")
					explained(parameter, "schema")
					explained(parameter, "description")
				}
				for _, r := range o.at("responses").members() {
					explained(r.resolved(document), "description")
				}
			}
		}
	}
}

func TestTheManualHasTheStatusOfEachCode(t *testing.T) {
	t.Parallel()
	document, told := start(t, setup{}).document(), map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| (\\d{3}) \\| `(\\w+)` \\|").FindAllStringSubmatch(docs.API, -1) {
		told[row[2]] = row[1]
	}
	for _, at := range document.at("paths").members() {
		for _, operation := range at.members() {
			for status, response := range operation.at("responses").members() {
				if ref, ok := response.has("$ref"); ok && told[path.Base(ref.value.(string))] != status {
					t.Errorf("%s is answered %s, which docs/api.md does not say", response.pointer, status)
				}
			}
		}
	}
}

// checked sends a request, and checks the response against the document: its status must be
// among the operation's, and its headers and its body must match.
func (j *validator) checked(w *world, status int, method, path, target, body string, header ...string) answer {
	w.t.Helper()
	got := w.do(method, target, body, append(header, "x-api-key", j.key)...)
	if got.StatusCode != status {
		w.t.Errorf("%s %s: got %s %s, want %d", method, target, got.Status, got.body, status)
	}
	response, ok := j.document.has("paths", path, strings.ToLower(method), "responses", strconv.Itoa(got.StatusCode))
	if !ok {
		w.t.Errorf("%s %s is answered %s, which is not in the document", method, path, got.Status)
		return got
	}
	response = response.resolved(j.document)
	for name := range response.at("headers").members() {
		if got.Header.Get(name) == "" && name != "Idempotency-Replayed" && name != "Preference-Applied" {
			w.t.Errorf("%s %s is answered %s without %s", method, path, got.Status, name)
		}
	}
	if _, has := response.has("content"); !has {
		if got.body != "" {
			w.t.Errorf("%s %s is answered %s with %s, want no body", method, path, got.Status, got.body)
		}
		return got
	}
	schema, ok := response.has("content", "application/json", "schema")
	if !ok { // it is not JSON
		return got
	}
	if err := j.errorOf(schema, got.body); err != nil {
		w.t.Errorf("%s %s is answered %s with %s: %v", method, path, got.Status, got.body, err)
	}
	return got
}

func TestTheServersAnswersAreThoseOfTheDocument(t *testing.T) {
	t.Parallel()
	w := start(t, setup{api: api.Config{APIKey: "k", MaxBody: 4096}})
	j := newValidator(w.document())
	j.key = "k"
	submit := func(fields string, header ...string) string {
		t.Helper()
		body := `{"callback_url":"` + w.callback + `",` + fields + `}`
		return read[ringback.Accepted](t, j.checked(w, 202, "POST", "/api/generate", "/api/generate", body, header...)).JobID
	}
	const jobs, job, unknown = "/api/jobs", "/api/jobs/{id}", "/api/jobs/0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d"

	done := submit(`"prompt":"Hi","metadata":{"a":"b"}`, "Idempotency-Key", "one")
	submit(`"prompt":"Hi","metadata":{"a":"b"}`, "Idempotency-Key", "one")
	j.checked(w, 422, "POST", "/api/generate", "/api/generate", `{"prompt":"Ho","events":[]}`, "Idempotency-Key", "one")
	broken := submit(`"prompt":"Hi","model":"sim/break-off","max_attempts":1`)
	later := submit(`"prompt":"Hi","run_at":"` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"`)
	for _, id := range []string{done, broken} {
		j.checked(w, 200, "GET", job, jobs+"/"+id+"?wait=30", "")
	}
	if _, err := w.receiver.Wait(t.Context(), 2); err != nil {
		t.Fatal(err)
	}

	j.checked(w, 200, "GET", job, jobs+"/"+done+"?include=request", "")
	j.checked(w, 200, "GET", job, jobs+"/"+broken, "")
	j.checked(w, 200, "GET", job, jobs+"/"+later+"?wait=0", "")
	j.checked(w, 200, "POST", "/api/generate", "/api/generate", `{"prompt":"Hi","events":[]}`, "Prefer", "wait=30")
	j.checked(w, 200, "GET", job+"/stream", jobs+"/"+done+"/stream", "")
	j.checked(w, 400, "GET", job+"/stream", jobs+"/"+done+"/stream?after=x", "")
	j.checked(w, 400, "GET", job+"/ws", jobs+"/"+done+"/ws", "")
	j.checked(w, 404, "GET", job+"/stream", unknown+"/stream", "")
	j.checked(w, 404, "GET", job, unknown, "")
	j.checked(w, 400, "GET", job, jobs+"/"+done+"?wait=61", "")
	j.checked(w, 200, "GET", jobs, jobs+"?metadata.a=b&limit=1", "")
	j.checked(w, 400, "GET", jobs, jobs+"?status=dead", "")
	for _, list := range []string{"/attempts", "/deliveries"} {
		j.checked(w, 200, "GET", job+list, jobs+"/"+done+list, "")
		j.checked(w, 200, "GET", job+list, jobs+"/"+broken+list, "")
		j.checked(w, 404, "GET", job+list, unknown+list, "")
	}
	j.checked(w, 200, "POST", job+"/cancel", jobs+"/"+later+"/cancel", "")
	j.checked(w, 409, "POST", job+"/cancel", jobs+"/"+done+"/cancel", "")
	j.checked(w, 202, "POST", job+"/retry", jobs+"/"+later+"/retry", `{"events":[]}`)
	j.checked(w, 409, "POST", job+"/retry", jobs+"/"+done+"/retry", "")
	j.checked(w, 202, "POST", job+"/redeliver", jobs+"/"+done+"/redeliver", "")
	j.checked(w, 404, "POST", job+"/redeliver", unknown+"/redeliver", "")
	j.checked(w, 200, "GET", "/api/dead", "/api/dead", "")
	j.checked(w, 200, "GET", "/api/dead", "/api/dead?kind=delivery", "")
	j.checked(w, 400, "POST", "/api/dead/replay", "/api/dead/replay", `{}`)
	j.checked(w, 200, "POST", "/api/dead/replay", "/api/dead/replay", `{"code":"stream_broken","patch":{"model":"sim/echo"}}`)
	j.checked(w, 200, "DELETE", "/api/dead", "/api/dead", `{"all":true}`)
	j.checked(w, 204, "DELETE", job, jobs+"/"+done, "")
	j.checked(w, 410, "GET", job, jobs+"/"+done, "")
	j.checked(w, 200, "GET", "/healthz", "/healthz", "")
	j.checked(w, 200, "GET", "/readyz", "/readyz", "")
	j.checked(w, 200, "GET", "/metrics", "/metrics", "")
	j.checked(w, 200, "GET", "/docs", "/docs", "")
	j.checked(w, 200, "GET", "/docs/{file}", "/docs/page.js", "")
	j.checked(w, 404, "GET", "/docs/{file}", "/docs/other.js", "")
	j.checked(w, 415, "POST", "/api/generate", "/api/generate", `{}`, "Content-Type", "text/plain")
	j.checked(w, 413, "POST", "/api/generate", "/api/generate", `{"prompt":"`+strings.Repeat("x", 4096)+`"}`)
	j.checked(w, 403, "POST", "/api/generate", "/api/generate", `{}`, "Origin", "https://elsewhere.example", "Sec-Fetch-Site", "cross-site")
	j.checked(w, 508, "POST", "/api/generate", "/api/generate", `{}`, "User-Agent", "Ringback/1", "webhook-id", "x")
	j.key = "another"
	j.checked(w, 401, "GET", jobs, jobs, "")
}

func TestTheWebhooksAreThoseOfTheDocument(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	j := newValidator(w.document())
	w.do("POST", "/api/generate", `{"prompt":"Hi","callback_url":"`+w.callback+`"}`, "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	w.submit(`"prompt":"Hi","model":"sim/break-off","max_attempts":1,"webhook_body":"thin"`)
	id := w.submit(`"prompt":"Hi","run_at":"` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"`)
	w.do("POST", "/api/jobs/"+id+"/cancel", "")
	came, err := w.receiver.Wait(t.Context(), 3)
	must(t, err)
	for _, d := range came {
		operation := j.document.at("webhooks", d.Type, "post")
		if err := j.errorOf(operation.at("requestBody", "content", "application/json", "schema"), string(d.Body)); err != nil {
			t.Errorf("%s: %v", d.Type, err)
		}
		parameters := operation.at("parameters")
		for i := range parameters.value.([]any) {
			p := part{t, parameters.value.([]any)[i], parameters.pointer + "/" + strconv.Itoa(i)}
			given := d.Header.Get(p.at("name").value.(string))
			if _, required := p.has("required"); given == "" && !required {
				continue
			}
			value, err := json.Marshal(given)
			must(t, err)
			if err := j.errorOf(p.at("schema"), string(value)); err != nil {
				t.Errorf("%s: header %s: %v", d.Type, p.at("name").value, err)
			}
		}
	}
}

// meaning are the fields of a request whose values have a meaning that no schema can
// express: names of models, addresses, times from now on.
var meaning = []string{"model", "provider", "callback_url", "expires_at", "run_at", "fallback_models", "callback_headers", "params"}

func TestTheSchemaAndTheServerRefuseTheSameRequests(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	j := newValidator(w.document())
	schema := j.document.at("components", "schemas", "Request")
	for field, s := range schema.at("properties").members() {
		for _, value := range values(s) {
			request := map[string]json.RawMessage{
				"prompt": []byte(`"Hi"`), "callback_url": []byte(strconv.Quote(w.callback)), field: []byte(value),
			}
			if field == "messages" && value != "null" {
				delete(request, "prompt")
			}
			body, err := json.Marshal(request)
			must(t, err)
			refused := j.errorOf(schema, string(body))
			got := w.do("POST", "/api/generate", string(body))
			switch {
			case refused != nil && got.StatusCode == http.StatusAccepted && value != `""`: // "" silently means the default
				t.Errorf("%s: the server takes it, the document does not: %v", body, refused)
			case refused == nil && got.StatusCode != http.StatusAccepted && !slices.Contains(meaning, field) && field != "prompt":
				t.Errorf("%s: the document takes it, the server does not: %s", body, got.body)
			}
		}
	}
	for _, body := range []string{`{}`, `[]`, `null`, `1`, `{"x":1}`, `{"prompt":"a","messages":["b"],"events":[]}`, `{"messages":null,"prompt":"","events":[]}`} {
		if refused := j.errorOf(schema, body); refused == nil {
			t.Errorf("%s: the document takes it", body)
		}
		if got := w.do("POST", "/api/generate", body); got.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: got %s", body, got.Status)
		}
	}
}

// values returns some values of each type, and those at the bounds of a schema.
func values(s part) []string {
	all := []string{
		`null`, `true`, `0`, `1`, `-1`, `1.5`, `99999999999999999999`, `""`, `"x"`, `"x y"`, `[]`, `["x"]`, `[1]`, `[null]`,
		`{}`, `{"x":"y"}`, `{"x":1}`, `{"model":"x"}`, `"2026-13-01T00:00:00Z"`, `"tomorrow"`, strconv.Quote(strings.Repeat("x", 300)),
		`[` + strings.Repeat(`"x",`, 8) + `"x"]`,
	}
	number := func(name string, by ...int64) {
		if bound, ok := s.has(name); ok {
			n, err := bound.value.(json.Number).Int64()
			must(s.t, err)
			for _, d := range by {
				all = append(all, fmt.Sprint(n+d))
			}
		}
	}
	number("minimum", -1, 0)
	number("maximum", 0, 1)
	for _, owner := range []string{"", "items"} {
		from := s
		if owner != "" {
			from, _ = s.has(owner)
		}
		enum, _ := from.has("enum")
		words, _ := enum.value.([]any)
		for _, word := range words {
			text, err := json.Marshal(word)
			must(s.t, err)
			if owner == "" {
				all = append(all, string(text))
			} else {
				all = append(all, "["+string(text)+"]")
			}
		}
	}
	return all
}

func TestTheDefaultsAreThoseOfTheDocument(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	want := w.document().at("components", "schemas", "Request", "properties", "max_attempts", "default").value.(json.Number)
	job := w.end(w.submit(`"prompt":"Hi"`))
	if fmt.Sprint(job.MaxAttempts) != want.String() {
		t.Errorf("max_attempts: got %d, the document says %s", job.MaxAttempts, want)
	}
}

func TestTheDocumentAndThePageNeedNoKeyAndNoCompression(t *testing.T) {
	t.Parallel()
	w := start(t, setup{api: api.Config{APIKey: "k"}})
	for _, path := range []string{"/openapi.json", "/docs", "/docs/swagger-ui.css"} {
		plain := w.do("GET", path, "")
		packed := w.do("GET", path, "", "Accept-Encoding", "br, GZIP")
		if plain.StatusCode != 200 || packed.StatusCode != 200 || plain.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: got %s, %s, Content-Encoding: %s", path, plain.Status, packed.Status, plain.Header.Get("Content-Encoding"))
		}
		if packed.Header.Get("Content-Encoding") == "gzip" && !bytes.HasPrefix([]byte(packed.body), []byte{0x1f, 0x8b}) {
			t.Errorf("%s is not compressed", path)
		}
	}
	if got := w.do("GET", "/docs/swagger-ui.css", "", "Accept-Encoding", "gzip").Header.Get("Content-Encoding"); got != "gzip" {
		t.Errorf("the style sheet is sent with Content-Encoding %q, want gzip", got)
	}
}
