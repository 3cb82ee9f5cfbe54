// Package simulate has a provider and a receiver that misbehave on request, over real HTTP:
// for the demo, for `serve --simulate`, for tests and benchmarks.
//
// [Provider] speaks the Anthropic protocol at POST /v1/messages, and OpenAI's at POST
// /v1/chat/completions. The name of the model selects what it does, so that a user's own
// test needs no other switch: sim/echo answers, sim/break-off never gets to the end of an
// answer. [Receiver] accepts webhooks, verifies both signatures, answers by a script and
// records what must never happen: one id with two contents, one job with two ends.
//
// Both are handlers; the caller provides the listener. Whatever hangs on purpose ends when
// the client leaves or the server closes the connection, so stop a server with Close, not
// with Shutdown.
//
// The package shares no code with what it tests (provider, webhook, the signatures of the
// root package): each side checks the other. It is strict where the real one is: a call
// without anthropic-version is a 400 here too.
package simulate
