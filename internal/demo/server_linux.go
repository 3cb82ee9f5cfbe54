package demo

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the system kill the child when this process dies, even by a kill.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
