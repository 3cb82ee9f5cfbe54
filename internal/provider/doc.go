// Package provider makes one call to an LLM provider: it sends a stored request, reads
// the answer as a stream, and classifies what failed.
//
//	client.go     one configured provider: its address, its key, its connections
//	call.go       one call: send it, and return the answer
//	read.go       the answer as it comes: a stream, or JSON
//	body.go       its bytes, bounded and watched for silence; decode.go undoes
//	              compression that nobody asked for
//	failure.go    what ended a call without an answer; connection.go puts into words
//	              what broke a connection
//	classify.go   what a failure means for job, model and key; the one table of it
//	headers.go    the headers that a request may pass on
//	limits.go     what an answer may make us hold
//	usage.go      the usage as it is stored
//	redact.go     the key taken out of everything that a provider sends
//	retirement.go the models whose end is announced
//
// What a provider's bytes mean is internal/protocol's business. This package does not
// know jobs, attempts, holds or retries: it is called once and calls the provider once.
// It reads no environment except the proxy variables that net/http knows.
//
// What holds:
//
//   - An answer is whole only if the provider marked its end; anything shorter is an
//     Error with the part that came. Once the answer is whole, nothing that happens to
//     the connection takes it back: the call ends with the stream, or after two seconds
//     without news.
//   - The first byte decides what a body is. Keep-alives of any kind change nothing.
//   - A redirect is not followed, since the key would travel along. A request is not
//     repeated behind our back, since it has no Idempotency-Key.
//   - What a provider can make us hold is bounded: headers 64 KiB, an error 64 KiB, an
//     answer Config.MaxAnswer, counted when it is decoded. No text in an Error holds the
//     key or an address.
package provider
