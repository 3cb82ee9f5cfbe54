// Package refusal has the errors that users get if something can't be done for now, or does
// not exist.
//
//	refusal.go  refuses submissions, counts them, and logs when that begins and ends
//	errors.go   the errors of a store or of memory that can't take anything now
//	job.go      those about jobs and deliveries that do not exist or are gone
package refusal
