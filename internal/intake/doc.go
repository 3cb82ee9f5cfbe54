// Package intake takes requests and makes jobs of them.
//
//	intake.go  what is admitted, and stored as a job
//	caller.go  who makes a request
//	job.go     makes a job of what a request asks for
//	fields.go  checks the fields of a request
//	route.go   which provider answers which model
//	replay.go  makes a new job of one that ended without an answer
//	patch.go   changes the request of a job that is replayed
//	trace.go   the span in which a job is made
//
// A request comes in a dialect: the API's own, or a provider's protocol. The API's own has
// its prompt among the options and is encoded for the provider; the others are kept
// verbatim.
package intake
