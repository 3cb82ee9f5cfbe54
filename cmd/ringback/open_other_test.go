//go:build !unix

package main

import "github.com/rogpeppe/go-internal/testscript"

// scriptDatabase skips the script: postgrestest is for Unix.
func scriptDatabase(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Fatalf("tests of databases run on Unix")
}
