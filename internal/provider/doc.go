// Package provider speaks to LLM providers: it sends one stored request, reads
// the answer as a stream, and says in one word what a failure means.
//
//	client.go    one configured provider: its address, its key, its connections
//	call.go      one call: send it, and give the answer
//	read.go      the answer as it comes: a stream, or JSON
//	wire.go      the bytes of it, bounded and watched for silence; decode.go undoes
//	             compression that nobody asked for
//	tell.go      the answer told piece by piece to those who watch
//	failure.go   what ended a call that gave no answer
//	verdict.go   what a failure means for job, model and key; the one table of it
//	wait.go      for how long a refusal asks us to stay away
//	protocol.go  what differs between protocols, and which there are
//	anthropic.go the Anthropic Messages protocol, and anthropic_stream.go its
//	             stream; nothing else knows it
//	openai.go    OpenAI's chat completions, openai_stream.go their stream, and
//	             openai_pieces.go what its pieces add up to
//	scan.go      JSON objects and arrays taken apart without being decoded
//	splice.go    JSON objects put together without being decoded
//
// It does not know jobs, attempts, holds or retries: it is called once and calls
// the provider once. It reads no environment but the proxy variables that
// net/http knows.
//
// What holds:
//
//   - The answer is called as a stream and assembled into the message object
//     that a call without streaming would have returned. It is an answer only if
//     the provider said why it ended; anything shorter is an Error with the part
//     that came. Once it has said so, nothing that becomes of the connection takes
//     the answer back: the end completes it, and else two seconds without news.
//   - The first byte says what a body is. Keep-alives of any kind change nothing.
//   - Numbers, unknown fields, unknown blocks and the order of keys pass as the
//     provider sent them: JSON is cut and joined, never decoded and encoded.
//   - A redirect is not followed, since the key would travel along; a request is
//     not repeated behind our back, since it has no Idempotency-Key.
//   - What a provider can make us hold is bounded: headers 64 KiB, an error 64
//     KiB, an answer Config.MaxAnswer, counted when it is decoded. No text in an Error holds the
//     key or an address.
package provider
