// Package apierror reads the errors of providers' APIs, for all protocols: most servers
// that speak one have error bodies of their own.
//
//	apierror.go the members of an error body
//	subject.go  what its names and its message mean
//	page.go     an error that is a page or a line of text
//	wait.go     how long it asks to wait
//
// The callers decide what an error means for a job, its model and its key.
package apierror
