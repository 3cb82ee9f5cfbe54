//go:build !linux

package demo

import "os/exec"

// dieWithParent does nothing: this system cannot do it, and a child is left behind if this
// process is killed.
func dieWithParent(*exec.Cmd) {}
