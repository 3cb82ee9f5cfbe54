package main

import (
	"os/exec"
	"syscall"
)

// dieWithParent sees to it that a child does not outlive us, even if we are
// killed.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
