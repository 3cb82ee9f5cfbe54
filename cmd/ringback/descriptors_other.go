//go:build !unix

package main

// descriptorLimit returns how many files and connections this process may have open: here
// there is no limit.
func descriptorLimit() int64 { return 0 }
