// Package refusal has the errors that users get.
//
// job.go has those about jobs and deliveries that do not exist or are gone.
package refusal
