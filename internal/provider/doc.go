// Package provider makes one call to an LLM provider: it sends a stored request, reads the
// answer as a stream, and classifies failures.
//
//	client.go     one configured provider: its address, its key, its connections
//	call.go       one call: sends the request, and returns the answer
//	read.go       reads the answer: a stream, or JSON
//	body.go       its bytes, bounded and watched for silence; decode.go undoes
//	              compression that we did not ask for
//	failure.go    what ended a call without an answer; connection.go puts into words
//	              what broke a connection
//	classify.go   what a failure means for job, model and key, in one table
//	headers.go    the headers that a request may pass on
//	limits.go     what an answer may make us hold
//	usage.go      the usage as it is stored
//	redact.go     removes the key from everything that a provider sends
//	retirement.go the models whose end has been announced
//
// Package protocol knows what a provider's bytes mean. This package knows nothing of jobs,
// attempts, holds or retries: it is called once and calls the provider once. It reads no
// environment except the proxy variables that net/http knows.
//
// Invariants:
//
//   - An answer is whole only if the provider marked its end; anything shorter is an Error
//     with the part that arrived. Once the answer is whole, nothing that happens to the
//     connection takes it back: the call ends with the stream, or after two seconds of
//     silence.
//   - The first byte decides what a body is. Keep-alives of any kind change nothing.
//   - A redirect is not followed, since the key would travel along. A request is never
//     repeated implicitly, since it has no Idempotency-Key.
//   - What a provider can make us hold is bounded: headers 64 KiB, an error 64 KiB, an
//     answer Config.MaxAnswer, counted after decoding. No text in an Error contains the key
//     or an address.
package provider
