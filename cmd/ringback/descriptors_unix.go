//go:build unix

package main

import (
	"math"

	"golang.org/x/sys/unix"
)

// descriptorLimit returns how many files and connections this process may have open; 0 if
// there is no limit. By then Go has raised the soft limit to the hard one.
func descriptorLimit() int64 {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil || uint64(l.Cur) > math.MaxInt32 {
		return 0
	}
	return int64(l.Cur)
}
