package main

import (
	"fmt"
	"slices"
)

// The exit codes.
const (
	exitOK       = 0
	exitFailure  = 1
	exitUsage    = 2
	exitLocked   = 3
	exitPort     = 4
	exitDataDir  = 5
	exitDiskDied = 6

	exitJobEnded    = 10
	exitAuth        = 11
	exitNotFound    = 12
	exitWaitTime    = 13
	exitUnavailable = 14
	exitTorn        = 15
	exitInterrupted = 130
)

// exitCode is a line of the table of exit codes.
type exitCode struct {
	code    int
	meaning string
}

// exitCodes say what each code means, for --help and the documents. Those below 10
// are of commands that run something on this machine, as serve does; those from 10
// on are of commands that talk to a server.
var exitCodes = []exitCode{
	{exitOK, "success"},
	{exitFailure, "failed, for a reason without a code of its own"},
	{exitUsage, "a flag, a variable, the configuration file or a request is wrong, or no provider is set up"},
	{exitLocked, "the data directory is in use by another process"},
	{exitPort, "the address cannot be listened on: it is in use, or does not belong to this machine"},
	{exitDataDir, "the data directory or the database cannot be used: read-only, full, corrupt, from a newer ringback, or set up so that a commit may be lost; or the database refuses the user"},
	{exitDiskDied, "the disk failed while the server ran, or a file of the data directory was moved, removed or replaced; nothing accepted is lost unless the disk lost it"},
	{exitJobEnded, "the job that was waited for ended without an answer: failed, cancelled or expired"},
	{exitAuth, "the server refused the API key, or requires one"},
	{exitNotFound, "the server has no such job, webhook or dead letter, or has deleted its content"},
	{exitWaitTime, "the wait timed out before the job ended; the job continues"},
	{exitUnavailable, "the server could not be reached, or cannot accept the request now"},
	{exitTorn, "the answer is on stdout, but after the text of an attempt that broke off, which could not be taken back"},
	{exitInterrupted, "interrupted by Ctrl-C or SIGTERM before the end"},
}

// localCodes and remoteCodes are those that a command of the one or the other kind
// may end with.
func localCodes() []exitCode {
	return slices.DeleteFunc(slices.Clone(exitCodes), func(e exitCode) bool { return e.code >= exitJobEnded })
}

func remoteCodes() []exitCode {
	return slices.DeleteFunc(slices.Clone(exitCodes), func(e exitCode) bool { return e.code > exitUsage && e.code < exitJobEnded })
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
