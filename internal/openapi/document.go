package openapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/ringback/ringback"
)

// A Route is what the document needs of one line of the server's table of routes.
type Route struct {
	About

	Method, Path string
	Query        []string // names of parameters; one that ends in a dot is a prefix
	Body         Body
	Open         bool            // it needs no key
	Token        bool            // a token in the query replaces the key
	Errors       []ringback.Code // that it may return
}

// Body says whether a request has a body.
type Body int

// The bodies of requests.
const (
	NoBody Body = iota
	OptionalBody
	RequiredBody
)

// About is what a route declares only for this document.
type About struct {
	ID, Summary string
	Takes       reflect.Type // the body of the request
	// Status of a success; 0 means 200.
	Status int
	// Also are further answers, each with the type of its body; nil: it has none.
	Also map[int]reflect.Type
	// Gives are the possible types of the response. None: it has no body, or one of another
	// media type.
	Gives []reflect.Type
	// Media is the type of a response that is not JSON, but may consist of the types in
	// Gives.
	Media string
	// Headers are those of the response, besides X-Request-Id.
	Headers []string
	// Unready: it may also answer 503 in the same form.
	Unready bool
}

// Document returns the OpenAPI document of the routes. statusOf is the HTTP status of each
// code, providerHeaders are the names that requests may pass on.
func Document(version string, routes []Route, statusOf map[ringback.Code]int, providerHeaders []string) ([]byte, error) {
	m := readManual()
	w := writer{manual: m, statusOf: statusOf, schemas: schemas{m, map[string]*schema{}}, used: map[ringback.Code]bool{}, routes: routes}
	paths := map[string]map[string]*operation{}
	for _, r := range routes {
		if paths[r.Path] == nil {
			paths[r.Path] = map[string]*operation{}
		}
		paths[r.Path][strings.ToLower(r.Method)] = w.operation(r)
	}
	webhooks := map[string]map[string]*operation{}
	for _, event := range pushed {
		webhooks[string(event)] = map[string]*operation{"post": w.webhook(event)}
	}
	w.schemas.of(reflect.TypeFor[ringback.Error](), "")
	w.schemas.nameHeaders(providerHeaders)
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(document{
		OpenAPI: "3.1.0",
		Info: info{
			Title: "Ringback", Version: cmp.Or(version, "dev"), Summary: "A durable asynchronous gateway for LLM APIs",
			Description: m[preface].prose, License: license{"Apache 2.0", "Apache-2.0"},
		},
		Servers:  []server{{"/", "The server that this document comes from"}},
		Tags:     used(paths),
		Security: anyKey,
		Paths:    paths,
		Webhooks: webhooks,
		Components: components{
			Schemas: w.schemas.named, Responses: w.errors(), Headers: answerHeaders, SecuritySchemes: securitySchemes,
		},
	})
	return b.Bytes(), err
}

// used returns the tags that operations have, in the order of tags.
func used(paths map[string]map[string]*operation) []tag {
	has := map[string]bool{}
	for _, path := range paths {
		for _, o := range path {
			has[o.Tags[0]] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(tags), func(t tag) bool { return !has[t.Name] })
}

const asJSON = "application/json"

// A writer holds what the operations have in common.
type writer struct {
	manual   manual
	statusOf map[ringback.Code]int
	schemas  schemas
	used     map[ringback.Code]bool
	routes   []Route
}

func (w *writer) operation(r Route) *operation {
	heading := "`" + r.Method + " " + r.Path + "`"
	section := w.manual.at(heading)
	o := &operation{
		ID: r.ID, Tags: []string{tagOf(r.Path)}, Summary: r.Summary, Description: section.prose,
		Parameters: w.parameters(r, section), RequestBody: w.requestBody(r, section, heading),
		Responses: w.responses(r, section, heading),
	}
	switch {
	case r.Open:
		o.Security = []map[string][]string{}
	case r.Token:
		o.Security = slices.Concat(anyKey, []map[string][]string{{"token": {}}})
	}
	return o
}

var inPath = regexp.MustCompile(`\{(\w+)\}`)

// parameters returns those of the path, of the query and of the headers.
func (w *writer) parameters(r Route, s *section) []*parameter {
	var all []*parameter
	for _, m := range inPath.FindAllStringSubmatch(r.Path, -1) {
		p := pathParameter(r.Path, m[1])
		p.Name, p.In, p.Required = m[1], "path", true
		all = append(all, &p)
	}
	for _, name := range r.Query {
		p := &parameter{Name: name, In: "query", Description: w.manual.parameter(s, name), Schema: queryParameter(r.Path, name)}
		if prefix, isPrefix := strings.CutSuffix(name, "."); isPrefix {
			// An exploded form uses the name of each of its members unchanged.
			p.Name, p.Style, p.Explode = prefix, "form", true
			p.Description = w.manual.parameter(s, name+"KEY")
			p.Schema = &schema{
				Type: "object", AdditionalProperties: &schema{Type: "string"},
				PropertyNames: &schema{Pattern: "^" + regexp.QuoteMeta(name) + "."},
			}
		}
		all = append(all, p)
	}
	return append(all, headersOf(s)...)
}

// headersOf returns the headers in a section's table.
func headersOf(s *section) []*parameter {
	var all []*parameter
	names, said := s.words("header")
	for _, name := range names {
		if like, known := requestHeaders[name]; known {
			all = append(all, &parameter{Name: name, In: "header", Description: last(said[name]), Schema: like})
		}
	}
	return all
}

func (w *writer) requestBody(r Route, s *section, heading string) *requestBody {
	if r.Body == NoBody || r.Takes == nil {
		return nil
	}
	m := &media{Examples: map[string]*namedExample{}, Schema: &schema{Type: "object"}}
	if r.Takes.Kind() == reflect.Struct {
		m.Schema = w.schemas.of(r.Takes, heading)
	}
	if r.Method == http.MethodDelete { // what is deleted is not patched
		m.Schema = &schema{AllOf: []*schema{m.Schema, {Properties: properties{{"patch", &schema{Type: "null"}}}, AdditionalProperties: true}}}
	}
	for i, body := range w.sent(r.Takes, s) {
		m.Examples["example"+strconv.Itoa(i+1)] = &namedExample{Summary: fieldsOf(body), Value: body}
	}
	return &requestBody{Required: r.Body == RequiredBody, Content: map[string]*media{asJSON: m}}
}

// fieldsOf names the fields of a body.
func fieldsOf(body json.RawMessage) string {
	var names []string
	gjson.ParseBytes(body).ForEach(func(name, _ gjson.Result) bool {
		names = append(names, name.Str)
		return true
	})
	return strings.Join(names, ", ")
}

func (w *writer) responses(r Route, s *section, heading string) map[string]*response {
	status := cmp.Or(r.Status, http.StatusOK)
	all := map[string]*response{strconv.Itoa(status): w.success(r, s, heading, status)}
	for status, of := range r.Also {
		also := r
		also.Media, also.Gives = "", nil
		if of != nil {
			also.Gives = []reflect.Type{of}
		}
		all[strconv.Itoa(status)] = w.success(also, s, heading, status)
	}
	if r.Unready {
		all["503"] = w.success(r, s, heading, http.StatusServiceUnavailable)
	}
	for _, code := range r.Errors {
		w.used[code] = true
		all[strconv.Itoa(w.statusOf[code])] = &response{Ref: "#/components/responses/" + string(code)}
	}
	return all
}

func (w *writer) success(r Route, s *section, heading string, status int) *response {
	a := &response{Description: http.StatusText(status), Headers: headerRefs(append([]string{"X-Request-Id"}, r.Headers...)), Links: w.links(r)}
	switch {
	case r.Media != "" && len(r.Gives) == 1:
		a.Content = map[string]*media{r.Media: {Schema: serverSentEvent(w.schemas.of(r.Gives[0], heading))}}
	case r.Media != "":
		kind := "string"
		if r.Media == asJSON {
			kind = "object"
		}
		a.Content = map[string]*media{r.Media: {Schema: &schema{Type: kind}}}
	case len(r.Gives) == 1:
		a.Content = map[string]*media{asJSON: w.answer(s, w.schemas.of(r.Gives[0], heading), status)}
	case len(r.Gives) > 1:
		m := &media{Schema: &schema{}, Examples: map[string]*namedExample{}}
		for _, t := range r.Gives {
			one := w.answer(s, w.schemas.of(t, heading), status)
			m.Schema.AnyOf = append(m.Schema.AnyOf, one.Schema)
			m.Examples[strings.TrimPrefix(one.Schema.Ref, schemaPath)] = &namedExample{Value: one.Example}
		}
		a.Content = map[string]*media{asJSON: m}
	}
	return a
}

// links links an answer with an id to the paths that take the id.
func (w *writer) links(r Route) map[string]*answerLink {
	if r.Method != http.MethodPost || len(r.Gives) != 1 {
		return nil
	}
	var under, field string
	switch r.Gives[0] {
	case reflect.TypeFor[ringback.Accepted](), reflect.TypeFor[ringback.Job]():
		under, field = "/api/jobs/{id}", "job_id"
	case reflect.TypeFor[ringback.Delivery]():
		under, field = "/api/deliveries/{id}", "delivery_id"
	default:
		return nil
	}
	links := map[string]*answerLink{}
	for _, to := range w.routes {
		if strings.HasPrefix(to.Path, under) {
			links[to.ID] = &answerLink{to.ID, map[string]string{"id": "$response.body#/" + field}}
		}
	}
	return links
}

// serverSentEvent returns the schema of a stream's event, with its data as JSON.
func serverSentEvent(data *schema) *schema {
	return &schema{Type: "object", Properties: properties{
		{"id", &schema{Type: "string"}},
		{"event", &schema{Type: "string", Enum: words(streamed...)}},
		{"data", &schema{Type: "string", ContentMediaType: asJSON, ContentSchema: data}},
		{"retry", &schema{Type: "integer"}},
	}}
}

func headerRefs(names []string) map[string]*parameter {
	refs := map[string]*parameter{}
	for _, name := range names {
		refs[name] = &parameter{Ref: "#/components/headers/" + name}
	}
	return refs
}
