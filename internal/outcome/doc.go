// Package outcome decides what becomes of a job: after an attempt, whatever came of it,
// or where the job waited too long, was cancelled, can't be read, or lost its node.
//
//	result.go   what came of one attempt: an answer, a failure, or a call that we stopped
//	decide.go   what becomes of the job after it
//	failed.go   retries, refusals, fallback models
//	ending.go   the decisions that no attempt's result leads to
//	reason.go   why a job ended, in words
//
// Everything here is a pure function of its arguments. Nothing reads a clock, a store or
// a scheduler, and no decision takes a slot: a decision may be made twice, inside a
// transaction. Whoever calls renders the webhook that an end causes and asks for the
// slot to send it.
//
// Four rules hold for every decision. An answer always completes the job, even one that
// somebody wants cancelled. A job that somebody wants cancelled is never asked for again.
// Only an attempt that failed counts against MaxAttempts: one that was refused, released
// or uncertain does not. And every decision is an end or a wait with a time, so that no
// job hangs.
package outcome
