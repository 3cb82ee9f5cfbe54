// Package apierror reads the errors of providers' APIs, of whichever protocol: most
// servers that speak one have error bodies of their own.
//
//	apierror.go what the members of an error body are
//	subject.go  what its names and its message mean
//	page.go     an error that is a page or a line of text
//	wait.go     how long it asks to wait
//
// What an error means for a job, its model and its key is decided by its callers.
package apierror
