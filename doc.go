// Package ringback holds the vocabulary that Ringback's client and server share, and its
// JSON: the job, its states, its events, its deliveries, its errors, and the signature on a
// webhook.
//
// Ringback is a durable asynchronous gateway for LLM APIs. A client posts a [Request] with
// a callback URL and gets a 202 with a job's id. The provider's answer arrives later as an
// [Event], in a signed webhook.
//
// The package imports the standard library only. It knows nothing of HTTP routes or SQL,
// and reads the clock only to verify a signature against the current time.
package ringback
