// Package outcome decides what happens to a job: after an attempt, whatever its result, or
// when the job waited too long, was cancelled, can't be read, or lost its node.
//
//	result.go   the result of one attempt: an answer, a failure, or a call that we stopped
//	decide.go   what happens to the job after it
//	retry.go    retries, refusals, fallback models
//	ending.go   the decisions without an attempt's result
//	reason.go   why a job ended, in words
//
// Everything here is a pure function of its arguments. Nothing reads a clock, a store or a
// scheduler, and no decision takes a slot: a decision may be made twice, inside a
// transaction. The caller renders the webhook that an end causes and requests the slot to
// send it.
//
// Four rules hold for every decision. An answer always completes the job, even one that is
// being cancelled. A job that is being cancelled is never called for again. Only an attempt
// that failed counts against MaxAttempts: one that was refused, released or uncertain does
// not. And every decision is an end or a wait with a time, so that no job hangs.
package outcome
