package main

import (
	"runtime/debug"
	"testing"
	"testing/fstest"
)

func TestTheBudgetIsAQuarterOfTheMemoryThatThereIs(t *testing.T) {
	const meminfo = "MemTotal:       16777216 kB\nMemFree:         1000 kB\n" // 16 GiB
	files := func(pairs ...string) fstest.MapFS {
		m := fstest.MapFS{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
		}
		return m
	}
	for name, c := range map[string]struct {
		root fstest.MapFS
		want int64
	}{
		"the machine's":                  {files("proc/meminfo", meminfo), 4 << 30},
		"that of a container":            {files("proc/meminfo", meminfo, "proc/self/cgroup", "0::/\n", "sys/fs/cgroup/memory.max", "1073741824\n"), 256 << 20},
		"that of a service":              {files("proc/meminfo", meminfo, "proc/self/cgroup", "0::/system.slice/r.service\n", "sys/fs/cgroup/system.slice/r.service/memory.max", "2147483648\n"), 512 << 20},
		"that of the group above":        {files("proc/meminfo", meminfo, "proc/self/cgroup", "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max", "max\n", "sys/fs/cgroup/a/memory.max", "1073741824\n"), 256 << 20},
		"that of a container, version 1": {files("proc/meminfo", meminfo, "proc/self/cgroup", "12:cpu,cpuacct:/docker/c\n9:memory:/docker/c\n", "sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n"), 256 << 20},
		"that of a service, version 1":   {files("proc/meminfo", meminfo, "proc/self/cgroup", "0::/x\n3:hugetlb,memory:/system.slice/r.service\n", "sys/fs/cgroup/memory/system.slice/r.service/memory.limit_in_bytes", "2147483648\n", "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"), 512 << 20},
		"the machine's, without limits":  {files("proc/meminfo", meminfo, "sys/fs/cgroup/memory.max", "max\n"), 4 << 30},
		"unknown where nothing says it":  {files(), 0},
	} {
		if got := memoryBudget(c.root); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(400 << 20))
	if got := memoryBudget(files("proc/meminfo", meminfo)); got != 100<<20 {
		t.Errorf("with GOMEMLIMIT=400MiB: got %d, want 100 MiB", got)
	}
}
