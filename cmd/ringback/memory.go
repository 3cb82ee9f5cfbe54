package main

import (
	"io/fs"
	"math"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// memoryShare is the part of the memory that bodies and answers may take.
const memoryShare = 4

// memoryBudget is what bodies being read and answers being assembled may take,
// in bytes, given the root of the file system; 0 if it cannot be told.
func memoryBudget(root fs.FS) int64 {
	limit := min(machineMemory(root), cgroupLimit(root), debug.SetMemoryLimit(-1)) // GOMEMLIMIT, not changed by this
	if limit == math.MaxInt64 {
		return 0
	}
	return limit / memoryShare
}

// machineMemory is the size of the memory; MaxInt64 where /proc does not say it.
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

// cgroupLimit is the lowest limit of the process's control group and those above
// it (cgroup v2); MaxInt64 if there is none.
func cgroupLimit(root fs.FS) int64 {
	lowest := int64(math.MaxInt64)
	for group := ownGroup(root); ; group = path.Dir(group) {
		if text, err := fs.ReadFile(root, path.Join("sys/fs/cgroup", group, "memory.max")); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil { // else it is "max"
				lowest = min(lowest, n)
			}
		}
		if group == "/" || group == "." {
			return lowest
		}
	}
}

// ownGroup is the path of the process's control group: the line 0::/path.
func ownGroup(root fs.FS) string {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return "/"
	}
	for line := range strings.Lines(string(text)) {
		if group, ok := strings.CutPrefix(line, "0::"); ok {
			return path.Clean("/" + strings.TrimSpace(group))
		}
	}
	return "/"
}
