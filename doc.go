// Package ringback holds the words that Ringback's client and server share, and
// their JSON: the job, its states, its events, its deliveries, its errors, and
// the signature on a webhook.
//
// Ringback is a durable asynchronous gateway for LLM APIs. A client posts a
// [Request] with a callback URL and is answered 202 with a job's id; the answer
// of the provider comes back as an [Event] by a signed webhook.
//
// The package imports the standard library only. It does not know HTTP routes or
// SQL, and reads the clock only where a signature is verified as of now.
package ringback
