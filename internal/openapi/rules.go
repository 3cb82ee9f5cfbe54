package openapi

// The forms of texts.
const (
	printable   = `^[^\x00-\x1F\x7F-\x9F]*$`
	uuidPattern = `^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?$` // or nothing
	// the headers that a request may send to its receiver
	headerName  = "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$"
	headerValue = `^[^\x00-\x08\x0A-\x1F\x7F]*$`
	notBlank    = `[^\x00-\x20\x7F]`
)

// request requires something to answer, and a place for the answer.
func request(s *schema) {
	noEvents := &schema{Required: []string{"events"}, AdditionalProperties: true, Properties: properties{
		{"events", &schema{Type: "array", Items: &schema{}, MaxItems: new(0)}},
		{"callback_headers", &schema{Type: []string{"object", "null"}, MaxProperties: new(0)}},
	}}
	s.AllOf = []*schema{
		{AnyOf: []*schema{given("prompt"), given("messages")}},
		{AnyOf: []*schema{given("callback_url"), noEvents}},
	}
	s.Not = given("prompt", "messages")
}

// deadAction requires of an action on dead letters a filter that fits its kind, or the
// explicit statement that all are meant.
func deadAction(s *schema) {
	jobs := absent("host")
	jobs.Properties = append(jobs.Properties, property{"kind", &schema{Enum: []any{"job", nil}}})
	deliveries := absent("model", "provider", "code", "metadata", "patch")
	deliveries.Properties = append(deliveries.Properties, property{"kind", &schema{Const: "delivery"}})
	deliveries.Required = []string{"kind"}
	filters := []*schema{}
	for _, name := range []string{
		"all", "model", "provider", "code", "metadata", "host", "created_after", "created_before", "ended_after", "ended_before",
	} {
		filters = append(filters, given(name))
	}
	s.AllOf = []*schema{{AnyOf: []*schema{jobs, deliveries}}, {AnyOf: filters}}
}

// given returns an object in which some fields count as given. The linters' own validators
// treat a schema as closed unless it says that it is open.
func given(names ...string) *schema {
	g := &schema{Required: names, AdditionalProperties: true}
	for _, name := range names {
		g.Properties = append(g.Properties, property{name, notEmpty[name]})
	}
	return g
}

// absent returns an object in which some fields are null or absent.
func absent(names ...string) *schema {
	a := &schema{AdditionalProperties: true}
	for _, name := range names {
		a.Properties = append(a.Properties, property{name, &schema{Type: "null"}})
	}
	return a
}

// notEmpty defines what counts as given.
var notEmpty = map[string]*schema{
	"prompt":         {Type: "string", MinLength: new(1)},
	"messages":       {Type: "array", Items: &schema{}},
	"callback_url":   {Type: "string", MinLength: new(1)},
	"all":            {Const: true},
	"model":          {Type: "string", MinLength: new(1)},
	"provider":       {Type: "string", MinLength: new(1)},
	"code":           {Type: "string", MinLength: new(1)},
	"host":           {Type: "string", MinLength: new(1)},
	"metadata":       {Type: "object", MinProperties: new(1)},
	"created_after":  {Type: "string"},
	"created_before": {Type: "string"},
	"ended_after":    {Type: "string"},
	"ended_before":   {Type: "string"},
}

// nameHeaders lists the headers that a request may pass on to its provider.
func (s *schemas) nameHeaders(names []string) {
	request := s.named["Request"]
	if request == nil {
		return
	}
	for _, p := range request.Properties {
		if p.name == "provider_headers" {
			p.schema.PropertyNames = &schema{Enum: words(names...)}
		}
	}
}
