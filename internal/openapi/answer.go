package openapi

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/ringback/ringback"
)

// sent returns the manual's examples of a route's body: what its curls send, and those
// beside the description of the type.
func (w *writer) sent(t reflect.Type, s *section) []json.RawMessage {
	all := s.of("request")
	for _, heading := range headings[t.Name()] {
		all = append(all, w.manual.at(heading).of("request")...)
	}
	return all
}

// answer returns a JSON body with an example from the manual: the first one for a success,
// the last one otherwise.
func (w *writer) answer(s *section, of *schema, status int) *media {
	m := &media{Schema: of}
	name := strings.TrimPrefix(of.Ref, schemaPath)
	switch all := w.manual.examples(s, kinds[name]); {
	case len(all) > 0 && status == http.StatusServiceUnavailable:
		m.Example = all[len(all)-1]
	case len(all) > 0:
		m.Example = all[0]
	case kinds[name+"Page"] != "": // one of a page
		for _, page := range w.manual.examples(s, kinds[name+"Page"]) {
			m.Example = json.RawMessage(gjson.GetBytes(page, "data.0").Raw)
		}
	}
	return m
}

// errors returns the responses of all codes that an operation refers to.
func (w *writer) errors() map[ringback.Code]*response {
	all := map[ringback.Code]*response{}
	_, said := w.manual.at("Errors").words("code")
	for code := range w.used {
		meaning, sentence := said[string(code)][0], last(said[string(code)])
		e := ringback.Error{Message: sentence, Code: code, RequestID: "0193c1a7-0000-7000-8000-000000000009"}
		headers := []string{"X-Request-Id"}
		switch code {
		case ringback.InvalidRequest:
			e.Field, _, _ = strings.Cut(sentence, " ")
		case ringback.Unauthorized:
			headers = append(headers, "WWW-Authenticate")
		case ringback.RateLimited, ringback.Unavailable:
			headers = append(headers, "Retry-After")
		}
		example, _ := json.Marshal(e) //nolint:errchkjson // strings alone
		all[code] = &response{
			Description: meaning, Headers: headerRefs(headers),
			Content: map[string]*media{asJSON: {Schema: w.schemas.of(reflect.TypeOf(e), ""), Example: example}},
		}
	}
	return all
}

// webhook describes what a receiver serves, and what its responses mean.
func (w *writer) webhook(event ringback.EventType) *operation {
	coming, answering := w.manual.at("The event"), w.manual.at("Responding")
	status := strings.TrimPrefix(string(event), "job.")
	var summary string
	name := status
	switch event {
	case ringback.EventStarted:
		status, summary = string(ringback.Running), "An attempt of a job has begun; sent once, and only if the request's events name it"
	case ringback.EventProgress:
		status, summary = string(ringback.Running), "The answer of a job so far; sent once, and only if the request's events name it"
	default:
		summary = "A job is " + status
	}
	body := &media{Schema: &schema{AllOf: []*schema{
		w.schemas.of(reflect.TypeFor[ringback.Event](), ""),
		{Properties: properties{{"type", &schema{Const: string(event)}}, {"status", &schema{Const: status}}}},
	}}}
	underWay := w.manual.at("`job.started` and `job.progress`")
	for _, e := range slices.Concat(coming.of("event"), underWay.of("event")) {
		if gjson.GetBytes(e, "type").Str == string(event) {
			body.Example = e
		}
	}
	headers := headersOf(coming)
	for _, h := range headers {
		h.Required = !strings.HasPrefix(h.Name, "trace") // those are only sent if there is a trace
	}
	o := &operation{
		ID: name, Summary: summary, Description: answering.prose,
		Security: []map[string][]string{}, Parameters: headers,
		RequestBody: &requestBody{Required: true, Content: map[string]*media{asJSON: body}},
		Responses:   map[string]*response{},
	}
	_, said := answering.words("the receiver")
	for code, cells := range said {
		o.Responses[strings.ToUpper(code)] = &response{Description: last(cells)}
	}
	o.Responses["default"] = &response{Description: "anything else, or no answer: the next try"}
	return o
}

// tags are the chapters of the document, before the webhooks.
const (
	tagJobs   = "Jobs"
	tagDead   = "Dead letters"
	tagServer = "Server"
)

var tags = []tag{
	{tagJobs, "Requests to LLMs, from their acceptance to their end"},
	{tagDead, "What failed for good, and its second chance"},
	{tagServer, "The server itself"},
}

func tagOf(path string) string {
	switch {
	case strings.HasPrefix(path, "/api/dead"):
		return tagDead
	case strings.HasPrefix(path, "/api/"):
		return tagJobs
	default:
		return tagServer
	}
}

// anyKey is satisfied by either form of the key.
var anyKey = []map[string][]string{{"bearer": {}}, {"x-api-key": {}}}

var securitySchemes = map[string]map[string]string{
	"bearer":    {"type": "http", "scheme": "bearer", "description": "The API key, if the server has one"},
	"x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The API key, if the server has one"},
	"token":     {"type": "apiKey", "in": "query", "name": "token", "description": "The token in the `stream_url` of a job: it opens that job alone, for an hour"},
}

var pathParameters = map[string]parameter{
	"id": {Description: "the `job_id`", Schema: &schema{Type: "string", Format: "uuid"},
		Example: "0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d"},
	"file": {Description: "the name of the file", Schema: &schema{Type: "string"}, Example: "page.js"},
}

// pathParameter describes a parameter of a path.
func pathParameter(path, name string) parameter {
	p := pathParameters[name]
	if strings.HasPrefix(path, "/api/deliveries/") {
		p.Description, p.Example = "the `delivery_id`", "0193c1a7-5e6f-7a8b-a1b2-c3d4e5f60718"
	}
	return p
}

// hostPattern matches a receiver's host, with or without scheme and port, or nothing.
const hostPattern = `^(((https?|wss?)://)?` +
	`(([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?\.){0,3}[a-zA-Z]([a-zA-Z0-9_-]{0,40}[a-zA-Z0-9_])?\.?` +
	`|((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])` +
	`|\[(([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}|(([0-9a-fA-F]{1,4}:){1,6}|:):[0-9a-fA-F]{1,4})\])` +
	`(:(80|443|[2-9][0-9]{3}|[1-5][0-9]{4}))?/?)?$`

var queryParameters = map[string]*schema{
	"limit":          {Type: "integer", Minimum: new(1), Maximum: new(100), Default: 20},
	"cursor":         orEmpty(schema{Type: "string", Format: "uuid"}),
	"status":         {Type: "string", Enum: wordsOf[ringback.Status]()},
	"model":          {Type: "string"},
	"provider":       {Type: "string"},
	"code":           {Type: "string", Enum: wordsOf[ringback.ErrorDetailCode]()},
	"kind":           {Type: "string", Enum: wordsOf[ringback.DeadKind](), Default: "job"},
	"host":           {Type: "string", Pattern: hostPattern},
	"webhook":        {Type: "string", Enum: append(wordsOf[ringback.DeliveryStatus](), string(ringback.NoDelivery))},
	"job":            orEmpty(schema{Type: "string", Format: "uuid"}),
	"status_code":    orEmpty(schema{Type: "string", Pattern: "^([1-9][0-9]{2}|[1-9][xX]{2}|none|0)$"}),
	"older_than":     orEmpty(schema{Type: "string", Pattern: "^(0|([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,5}s)?)$"}),
	"created_after":  orEmpty(schema{Type: "string", Format: "date-time"}),
	"created_before": orEmpty(schema{Type: "string", Format: "date-time"}),
	"ended_after":    orEmpty(schema{Type: "string", Format: "date-time"}),
	"ended_before":   orEmpty(schema{Type: "string", Format: "date-time"}),
	"wait":           orEmpty(schema{Type: "string", Pattern: "^([0-9]|[1-5][0-9]|60)s?$"}),
	"after":          orEmpty(schema{Type: "string", Pattern: "^[0-9]{1,18}-[0-9]{1,18}$"}),
	"token":          {Type: "string"},
	"include":        {Type: "string", Enum: words("request")},
}

// queryParameter returns the schema of a route's parameter.
func queryParameter(path, name string) *schema {
	if name == "status" && path == "/api/deliveries" {
		return &schema{Type: "string", Enum: wordsOf[ringback.DeliveryStatus]()}
	}
	if name == "cursor" && strings.HasSuffix(path, "/attempts") {
		return orEmpty(schema{Type: "string", Pattern: "^[0-9]{1,18}$"})
	}
	return queryParameters[name]
}

// orEmpty is for a text in a query or a header, where an empty one means none.
func orEmpty(s schema) *schema {
	form := schema{Pattern: s.Pattern, Format: s.Format, Enum: s.Enum}
	s.Pattern, s.Format, s.Enum = "", "", nil
	s.AnyOf = []*schema{&form, {MaxLength: new(0)}}
	return &s
}

// requestHeaders are those of our requests, and of a webhook.
var requestHeaders = map[string]*schema{
	"Idempotency-Key":     {Type: "string", MinLength: new(1), MaxLength: new(255)},
	"X-Callback-URL":      orEmpty(schema{Type: "string", Format: "uri", MaxLength: new(2048)}),
	"X-Request-Id":        {Type: "string"}, // one that is unfit for a log is replaced
	"Last-Event-ID":       orEmpty(schema{Type: "string", Pattern: "^[0-9]{1,18}-[0-9]{1,18}$"}),
	"Prefer":              {Type: "string"},
	"anthropic-beta":      passedOn,
	"anthropic-version":   passedOn,
	"openai-beta":         passedOn,
	"openai-organization": passedOn,
	"openai-project":      passedOn,
	"traceparent":         {Type: "string"}, // an invalid one is ignored
	"tracestate":          {Type: "string"},
	"User-Agent":          {Type: "string", Pattern: "^Ringback/"},
	"webhook-id":          {Type: "string", Format: "uuid"},
	"webhook-timestamp":   {Type: "string", Pattern: "^[0-9]+$"},
	"webhook-signature":   {Type: "string", Pattern: "^v1,[A-Za-z0-9+/]{43}=$"},
	"X-Webhook-Signature": {Type: "string", Pattern: "^sha256=[0-9a-f]{64}$"},
}

// passedOn is a header that is passed on to the provider.
var passedOn = &schema{Type: "string", MaxLength: new(2048)}

var answerHeaders = map[string]*parameter{
	"X-Request-Id":         {Description: "the request's own, if it had one that is fit for a log, or a new one", Schema: &schema{Type: "string", Pattern: "^[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}$"}},
	"Location":             {Description: "the `status_url` of the job", Schema: &schema{Type: "string", Format: "uri-reference"}},
	"Idempotency-Replayed": {Description: "`true`: the key was known, and nothing new was accepted", Schema: &schema{Type: "string", Const: "true"}},
	"Preference-Applied":   {Description: "`wait=N`: for how many seconds at most the answer waited for the job's end", Schema: &schema{Type: "string", Pattern: "^wait=[0-9]+$"}},
	"Retry-After":          {Description: "when to come again, in seconds", Schema: &schema{Type: "integer", Minimum: new(1)}},
	"WWW-Authenticate":     {Description: "how to bring the key", Schema: &schema{Type: "string", Const: "Bearer"}},
}
