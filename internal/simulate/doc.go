// Package simulate is a provider and a receiver that misbehave on request, over
// real HTTP: for the demo, for `serve --simulate`, for tests and benchmarks.
//
// [Provider] speaks the Anthropic protocol at POST /v1/messages, and OpenAI's at
// POST /v1/chat/completions. What it does is chosen by the name of the model, so
// that a user's own test needs no other switch: sim/echo answers, sim/break-off
// never gets to the end of one.
// [Receiver] takes webhooks, verifies both signatures, answers by a script and
// keeps book of what must never happen: one id with two contents, one job with
// two ends.
//
// Both are handlers; the caller brings the listener. What hangs on purpose ends
// when the client leaves or the server closes the connection, so a server is
// stopped with Close, not with Shutdown.
//
// The package shares no code with those it stands in for (provider, webhook,
// the signatures of the root package): each side checks the other. It is strict
// where the real one is: a call without anthropic-version is a 400 here too.
package simulate
