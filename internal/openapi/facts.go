package openapi

import (
	"reflect"
	"slices"

	"github.com/ringback/ringback"
)

// headings are where docs/ describes the fields of a struct: the first one also says what
// the struct is.
var headings = map[string][]string{
	"Request":     {"The request"},
	"Accepted":    {"The response"},
	"Job":         {"The job"},
	"Webhook":     {"`webhook` of a job"},
	"ErrorDetail": {"`error_detail` of a job"},
	"Attempt":     {"An attempt"},
	"Delivery":    {"A delivery"},
	"Redelivery":  {"How it is sent"},
	"Try":         {"A try"},
	"Page":        {"A page"},
	"DeadAction":  {"A bulk request"},
	"DeadDone":    {"A bulk response"},
	"Event":       {"The event", "The job"},
	"StreamEvent": {"Watching a job"},
	"Error":       {"Errors"},
	"Hold":        {"A hold"},
	"HeldBy":      {"The cause of a hold"},
	"Node":        {"A node"},
}

// kinds are the words after ```json in docs/ for an example of each schema.
var kinds = map[string]string{
	"Accepted": "accepted", "Job": "job", "JobPage": "jobs", "AttemptPage": "attempts", "DeliveryPage": "deliveries",
	"NodePage": "nodes",
	"DeadDone": "done", "Health": "health", "Readiness": "readiness",
}

// requests are the structs that come from outside: parsed strictly, with null meaning
// absence.
var requests = map[string]bool{"Request": true, "DeadAction": true, "Redelivery": true}

// without are fields that a struct shares with another, but never has.
var without = map[string][]string{"Event": {"webhook", "request", "provider_headers", "stream_url"}}

// enums are the types whose value is one of several words.
var enums = map[reflect.Type][]any{
	reflect.TypeFor[ringback.Status]():         words(ringback.Statuses...),
	reflect.TypeFor[ringback.EventType]():      words(slices.Concat(ringback.TerminalEvents, underway)...),
	reflect.TypeFor[ringback.WebhookBody]():    words(ringback.WebhookFull, ringback.WebhookResult, ringback.WebhookThin),
	reflect.TypeFor[ringback.OnDisconnect]():   words(ringback.DisconnectContinue, ringback.DisconnectCancel),
	reflect.TypeFor[ringback.DeltaKind]():      words(ringback.DeltaText, ringback.DeltaThinking, ringback.DeltaToolInput),
	reflect.TypeFor[ringback.RetryUncertain](): words(ringback.RetryAlways, ringback.RetryNever),
	reflect.TypeFor[ringback.DeliveryStatus](): words(ringback.DeliveryStatuses...),
	reflect.TypeFor[ringback.DeadReason]():     words(ringback.DeadTries, ringback.DeadRefused, ringback.DeadTooLarge, ringback.DeadExpired, ringback.DeadErased),
	reflect.TypeFor[ringback.DeadKind]():       words(ringback.DeadJob, ringback.DeadDelivery),
	reflect.TypeFor[ringback.TryTrigger]():     words(ringback.TryTriggers...),
	reflect.TypeFor[ringback.TryError]():       words(ringback.TryErrors...),
	reflect.TypeFor[ringback.AttemptOutcome](): words(
		ringback.AttemptAnswered, ringback.AttemptFailed, ringback.AttemptRefused, ringback.AttemptUncertain,
		ringback.AttemptCancelled, ringback.AttemptReleased),
	reflect.TypeFor[ringback.ErrorDetailCode](): words(ringback.ErrorDetailCodes...),
	reflect.TypeFor[ringback.Code](): words(
		ringback.InvalidRequest, ringback.Unauthorized, ringback.Forbidden, ringback.NotFound, ringback.MethodNotAllowed,
		ringback.Conflict, ringback.Gone, ringback.TooLarge, ringback.UnsupportedMediaType, ringback.HeadersTooLarge, ringback.Misdirected,
		ringback.IdempotencyMismatch, ringback.RateLimited, ringback.Unavailable, ringback.Loop, ringback.Internal),
}

// underway are the events of a job that has not ended. A stream carries streamed, webhooks
// pushed.
var (
	underway = []ringback.EventType{
		ringback.EventQueued, ringback.EventStarted, ringback.EventDelta, ringback.EventRetrying, ringback.EventProgress,
	}
	streamed = slices.Concat(underway[:4], ringback.TerminalEvents)
	pushed   = slices.Concat(ringback.TerminalEvents, []ringback.EventType{ringback.EventStarted, ringback.EventProgress})
)

func words[T ~string](all ...T) []any {
	list := make([]any, len(all))
	for i, w := range all {
		list[i] = string(w)
	}
	return list
}

func wordsOf[T any]() []any { return enums[reflect.TypeFor[T]()] }

// A fact is something that machines need and neither a Go type nor the manual states.
type fact func(*schema)

// facts are about a schema (Request), a field of one (Request.model), or a field anywhere
// (job_id).
var facts = map[string]fact{
	"job_id":      format("uuid"),
	"replay_of":   format("uuid"),
	"replayed_by": format("uuid"),
	"delivery_id": format("uuid"),
	"node":        format("uuid"),
	"Node.id":     format("uuid"),
	"status_url":  format("uri-reference"),
	"stream_url":  format("uri-reference"),
	"url":         format("uri"),

	"last_status_code": between(100, 999),
	"status_code":      between(100, 999),
	"attempt":          atLeast(1),
	"try":              atLeast(1),
	"max_attempts":     atLeast(0), // 0 once the content has been deleted
	"cost_usd":         atLeast(0),

	"metadata": func(s *schema) { s.Type = "object" },
	"response": func(s *schema) {
		if s.Type == nil { // a job's; a try's is a text
			s.Type = "object"
		}
	},
	"usage": func(s *schema) {
		count := &schema{Type: "integer", Minimum: new(0)}
		s.Type, s.Required = "object", []string{"input_tokens", "output_tokens"}
		s.Properties = properties{{"input_tokens", count}, {"output_tokens", count}}
	},
	"request": func(s *schema) { s.Type = "object" },
	"status_reason": oneOf("provider_refused", "provider_refused_key", "provider_failing", "retrying", "scheduled",
		"provider_not_configured", "unreadable", "cancel_requested"),

	"Health.status":       func(s *schema) { s.Const = "ok" },
	"StreamEvent.type":    func(s *schema) { s.Enum = words(streamed...) },
	"Event.type":          func(s *schema) { s.Enum = words(pushed...) },
	"Delivery.url":        format("uri-reference"), // "" once the content has been deleted
	"Node.expires_at":     (*schema).orNull,
	"Delivery.event":      func(s *schema) { s.Enum = words(ringback.TerminalEvents...) },
	"StreamEvent.attempt": atLeast(0),
	"StreamEvent.number":  atLeast(1),
	"Event.status":        oneOf("completed", "failed", "cancelled", "expired", "running"),

	"Request.messages":     func(s *schema) { s.Type, s.Items, s.MinItems = "array", &schema{Type: "object"}, new(1) },
	"Request.system":       func(s *schema) { s.Type, s.Items = []string{"string", "array"}, &schema{} },
	"Request.callback_url": func(s *schema) { s.Format, s.MaxLength, s.Pattern = "uri", new(2048), `^[Hh][Tt][Tt][Pp][Ss]?://` },
	"Request.model":        func(s *schema) { s.MaxLength = new(256) },
	"Request.callback_headers": func(s *schema) {
		s.MaxProperties, s.PropertyNames = new(10), &schema{Pattern: headerName}
		s.AdditionalProperties = &schema{Type: "string", Pattern: headerValue}
	},
	"Request.provider_headers": func(s *schema) {
		s.AdditionalProperties = &schema{Type: "string", MinLength: new(1), MaxLength: new(2048)}
	},
	"Request.stream": byDefault(false),
	"Request.stream_to": func(s *schema) {
		s.AnyOf = orEmpty(schema{Format: "uri", Pattern: `^([Hh][Tt][Tt][Pp]|[Ww][Ss])[Ss]?://`}).AnyOf
		s.MaxLength = new(2048)
	},
	"Request.on_disconnect":   byDefault("continue"),
	"Request.webhook_body":    byDefault("full"),
	"Request.retry_uncertain": byDefault("always"),
	"Request.fallback_models": func(s *schema) {
		s.MaxItems, s.Items.MinLength, s.Items.MaxLength, s.Items.Pattern = new(8), new(1), new(256), printable
	},
	"Request.metadata": func(s *schema) { s.Default = map[string]any{} },
	"Request.events": func(s *schema) {
		s.Items.Enum, s.Default = words(pushed...), words(ringback.TerminalEvents...)
		s.MaxItems, s.UniqueItems = new(len(pushed)), true
	},
	"Request.params": func(s *schema) {
		s.MaxProperties = new(1000)
		s.PropertyNames = &schema{Not: &schema{Enum: words("model", "messages", "system", "stream", "max_tokens")}}
	},
	"Request": request,

	"DeadAction":        deadAction,
	"DeadAction.cursor": func(s *schema) { s.Pattern = uuidPattern },
	"DeadAction.host":   func(s *schema) { s.Pattern = hostPattern },
	"DeadAction.kind":   byDefault("job"),
	"DeadAction.patch":  func(s *schema) { s.Type = "object" },
}

func format(f string) fact   { return func(s *schema) { s.Format = f } }
func atLeast(n int) fact     { return func(s *schema) { s.Minimum = &n } }
func byDefault(v any) fact   { return func(s *schema) { s.Default = v } }
func oneOf(w ...string) fact { return func(s *schema) { s.Enum = words(w...) } }

func between(least, most int) fact {
	return func(s *schema) { s.Minimum, s.Maximum = &least, &most }
}
