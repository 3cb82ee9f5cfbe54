package main

import (
	"io/fs"
	"math"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/ringback/ringback/internal/memory"
)

// memoryParts returns what bodies, answers and webhooks may take, given the root of the
// file system; nothing if no limit is known.
func memoryParts(root fs.FS) memory.Parts { return memory.Split(memoryLimit(root)) }

// memoryLimit returns what the process may take, in bytes; 0 if unknown.
func memoryLimit(root fs.FS) int64 {
	limit := min(machineMemory(root), cgroupLimit(root), debug.SetMemoryLimit(-1)) // GOMEMLIMIT, which this does not change
	if limit == math.MaxInt64 {
		return 0
	}
	return limit
}

// limitCollector gives the collector a part of the memory limit, either the control group's
// or GOMEMLIMIT. The rest is left for what is not Go's: the program itself, the kernel's
// buffers for its connections, and SQLite's memory. stop restores the old limit.
func limitCollector(root fs.FS) (stop func()) {
	limit := min(cgroupLimit(root), debug.SetMemoryLimit(-1))
	if limit >= machineMemory(root) {
		return func() {}
	}
	before := debug.SetMemoryLimit(limit / 100 * 70)
	return func() { debug.SetMemoryLimit(before) }
}

// machineMemory returns the size of the memory; MaxInt64 if /proc does not have it.
func machineMemory(root fs.FS) int64 {
	text, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return math.MaxInt64
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemTotal:" {
			if kib, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				return kib << 10
			}
		}
	}
	return math.MaxInt64
}

// cgroupLimit returns the lowest limit of the process's control group and its ancestors, of
// either version; MaxInt64 if there is none.
func cgroupLimit(root fs.FS) int64 {
	lowest := int64(math.MaxInt64)
	for _, g := range ownGroups(root) {
		for group := g.path; ; group = path.Dir(group) {
			if text, err := fs.ReadFile(root, path.Join(g.mount, group, g.file)); err == nil {
				if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil { // otherwise it is "max"
					lowest = min(lowest, n)
				}
			}
			if group == "/" || group == "." {
				break
			}
		}
	}
	return lowest
}

// controlGroup is the process's group in one hierarchy that limits memory.
type controlGroup struct{ mount, path, file string }

// ownGroups returns the groups that /proc/self/cgroup names: a line 0::/path of version 2,
// or 9:memory:/path of version 1, or both. A container often sees its own group at the root
// of the mount although the line names it from outside; both are read, since the way up
// ends at the root. Without /proc only the roots are.
func ownGroups(root fs.FS) []controlGroup {
	v2 := controlGroup{"sys/fs/cgroup", "/", "memory.max"}
	v1 := controlGroup{"sys/fs/cgroup/memory", "/", "memory.limit_in_bytes"} // without a limit a number near MaxInt64
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return []controlGroup{v2, v1}
	}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(f) != 3:
		case f[0] == "0" && f[1] == "":
			v2.path = path.Clean("/" + f[2])
		case slices.Contains(strings.Split(f[1], ","), "memory"):
			v1.path = path.Clean("/" + f[2])
		}
	}
	return []controlGroup{v2, v1}
}
