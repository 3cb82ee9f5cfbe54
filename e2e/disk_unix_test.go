//go:build unix

package e2e_test

import (
	"testing"

	"golang.org/x/sys/unix"
)

// usedBytes returns how much of a file system is used.
func usedBytes(t *testing.T, dir string) uint64 {
	t.Helper()
	var s unix.Statfs_t
	must(t, unix.Statfs(dir, &s))
	return (s.Blocks - s.Bfree) * uint64(s.Bsize)
}

// freeBytes returns how much this user may still write there.
func freeBytes(dir string) (uint64, error) {
	var s unix.Statfs_t
	err := unix.Statfs(dir, &s)
	return s.Bavail * uint64(s.Bsize), err
}
