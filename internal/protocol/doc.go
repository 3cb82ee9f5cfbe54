// Package protocol implements the protocols of providers in both directions: the request
// that is sent and the stream that comes back. Error bodies are package apierror's.
//
//	dialect.go           Dialect and Assembly, which each protocol implements, and
//	                     what all requests and messages have in common
//	encode.go            encodes a native request for a provider
//	emit.go              emits the growing answer piece by piece
//	render.go            the log of an answer, from which anthropic_render.go and
//	                     openai_render.go render the provider's own stream again
//	anthropic.go         the Anthropic Messages protocol; anthropic_stream.go assembles
//	                     its stream
//	openai.go            OpenAI's chat completions; openai_stream.go assembles their
//	                     stream, openai_pieces.go and openai_calls.go its values and
//	                     tool calls, openai_whole.go an answer without streaming
//
// It is pure: no I/O, no connections, no clock except for times in error bodies, no jobs. A
// third protocol is a third implementation of [Dialect].
//
// Invariants:
//
//   - A stream is assembled into the message object that a call without streaming would
//     have returned. It is an answer only if the provider marked its end.
//   - A stream that is rendered from the log of an answer is assembled into its message.
//   - Numbers, unknown fields, unknown blocks and the order of keys pass as the provider
//     sent them: JSON is cut and joined, never decoded and encoded.
package protocol
