package main

import "fmt"

// The exit codes.
const (
	exitOK       = 0
	exitFailure  = 1
	exitUsage    = 2
	exitLocked   = 3
	exitPort     = 4
	exitDataDir  = 5
	exitDiskDied = 6
)

// exitCodes say what each code means, for --help and the documents.
var exitCodes = []struct {
	code    int
	meaning string
}{
	{exitOK, "ended as it was asked to"},
	{exitFailure, "failed, for a reason without a code of its own"},
	{exitUsage, "a flag, a variable or the configuration file is wrong, or no provider is set up"},
	{exitLocked, "the data directory is in use by another process"},
	{exitPort, "the address cannot be listened on: it is in use, or not of this machine"},
	{exitDataDir, "the data directory cannot be used: read-only, full, corrupt, or of a newer ringback"},
	{exitDiskDied, "the disk failed while the server ran; nothing accepted is lost unless the disk lost it"},
}

// failure is an error with an exit code, written for the operator: one sentence
// that says what to do.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func fail(code int, format string, args ...any) error {
	return &failure{code, fmt.Errorf(format, args...)}
}
