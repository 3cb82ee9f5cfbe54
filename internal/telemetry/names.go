package telemetry

// The names of attributes, from OpenTelemetry's conventions. Those of GenAI are in
// development: they have moved from the package semconv to
// open-telemetry/semantic-conventions-genai; these are from its commit 024a4f9. The
// conventions for content (gen_ai.input.messages and the like) are not here: no content
// leaves by a trace.
const (
	GenAIOperation         = "gen_ai.operation.name"
	GenAIProvider          = "gen_ai.provider.name"
	GenAIRequestModel      = "gen_ai.request.model"
	GenAIRequestMaxTokens  = "gen_ai.request.max_tokens" //nolint:gosec // no credential
	GenAIRequestStream     = "gen_ai.request.stream"
	GenAIResponseID        = "gen_ai.response.id"
	GenAIResponseModel     = "gen_ai.response.model"
	GenAITimeToFirstChunk  = "gen_ai.response.time_to_first_chunk" // seconds
	GenAIUsageInputTokens  = "gen_ai.usage.input_tokens"           //nolint:gosec // no credential
	GenAIUsageOutputTokens = "gen_ai.usage.output_tokens"          //nolint:gosec // no credential

	MessagingSystem      = "messaging.system"
	MessagingOperation   = "messaging.operation.type"
	MessagingDestination = "messaging.destination.name"
	MessagingMessageID   = "messaging.message.id"

	HTTPMethod = "http.request.method"
	HTTPRoute  = "http.route"
	HTTPStatus = "http.response.status_code"

	ServerAddress = "server.address"
	ServerPort    = "server.port"
	ErrorType     = "error.type"
)

// Our own names.
const (
	Provider   = "ringback.provider" // by its name in the configuration
	JobID      = "ringback.job_id"
	Attempt    = "ringback.attempt"
	DeliveryID = "ringback.delivery_id"
	EventType  = "ringback.event"
)
