// Package exit has the exit codes of the commands, and the error that carries one.
package exit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The exit codes.
const (
	OK       = 0
	Failure  = 1
	Usage    = 2
	Locked   = 3
	Port     = 4
	DataDir  = 5
	DiskDied = 6

	JobEnded    = 10
	Auth        = 11
	NotFound    = 12
	WaitTime    = 13
	Unavailable = 14
	Torn        = 15
	Interrupted = 130
)

// Code is a line of the table of exit codes.
type Code struct {
	Number  int
	Meaning string
}

// Codes has the meaning of each code, for --help and the documentation. Commands that run
// something on this machine, such as serve, use the codes below 10. Commands that talk to a
// server use those from 10 on. Both use 0, 1 and 2.
var Codes = []Code{
	{OK, "success"},
	{Failure, "failed, for a reason without a code of its own"},
	{Usage, "a flag, a variable, the configuration file or a request is wrong, or no provider is set up"},
	{Locked, "the data directory is in use by another process"},
	{Port, "the address cannot be listened on: it is in use, or does not belong to this machine"},
	{DataDir, "the data directory or the database cannot be used: read-only, full, corrupt, from a newer ringback, or set up so that a commit may be lost; or the database refuses the user"},
	{DiskDied, "the disk failed while the server ran, or a file of the data directory was moved, removed or replaced; nothing accepted is lost unless the disk lost it"},
	{JobEnded, "the job that was waited for ended without an answer: failed, cancelled or expired"},
	{Auth, "the server refused the API key, or requires one"},
	{NotFound, "the server has no such job, webhook or dead letter, or has deleted its content"},
	{WaitTime, "the wait timed out before the job ended; the job continues"},
	{Unavailable, "the server could not be reached, or cannot accept the request now"},
	{Torn, "the answer is on stdout, but after the text of an attempt that broke off, which could not be taken back"},
	{Interrupted, "interrupted by Ctrl-C or SIGTERM before the end"},
}

// Local returns the codes of commands that run something on this machine.
func Local() []Code {
	return slices.DeleteFunc(slices.Clone(Codes), func(e Code) bool { return e.Number >= JobEnded })
}

// Remote returns the codes of commands that talk to a server.
func Remote() []Code {
	return slices.DeleteFunc(slices.Clone(Codes), func(e Code) bool { return e.Number > Usage && e.Number < JobEnded })
}

// Error is an error with an exit code. Its message is for the operator: one sentence that
// says what to do.
type Error struct {
	Code int
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Errorf is [fmt.Errorf] with an exit code. The error that it returns is an *Error.
func Errorf(code int, format string, args ...any) error {
	return &Error{code, fmt.Errorf(format, args...)}
}

// HelpTitle is the title of the section of a command's help with its exit codes.
const HelpTitle = "Exit codes"

// HelpText returns the section of a command's help that lists the codes it exits with.
func HelpText(codes []Code) string {
	var b strings.Builder
	width := len(strconv.Itoa(codes[len(codes)-1].Number))
	for _, e := range codes {
		fmt.Fprintf(&b, "  %*d  %s\n", width, e.Number, e.Meaning)
	}
	b.WriteString("  A second signal, half a second or more after the first, ends a command at once.\n")
	return b.String()
}
