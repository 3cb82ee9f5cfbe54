//go:build !linux

package main

import "os/exec"

// dieWithParent does nothing where the system has no such wish: a child is left
// behind if we are killed.
func dieWithParent(*exec.Cmd) {}
