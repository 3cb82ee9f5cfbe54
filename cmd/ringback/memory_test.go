package main

import (
	"runtime/debug"
	"testing"
	"testing/fstest"

	"github.com/ringback/ringback/internal/memory"
)

func TestThePoolsArePartsOfTheMemoryThatThereIs(t *testing.T) {
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
		"the machine's":                  {files("proc/meminfo", meminfo), 16 << 30},
		"that of a container":            {files("proc/meminfo", meminfo, "proc/self/cgroup", "0::/\n", "sys/fs/cgroup/memory.max", "1073741824\n"), 1 << 30},
		"that of a service":              {files("proc/meminfo", meminfo, "proc/self/cgroup", "0::/system.slice/r.service\n", "sys/fs/cgroup/system.slice/r.service/memory.max", "2147483648\n"), 2 << 30},
		"that of the group above":        {files("proc/meminfo", meminfo, "proc/self/cgroup", "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max", "max\n", "sys/fs/cgroup/a/memory.max", "1073741824\n"), 1 << 30},
		"that of a container, version 1": {files("proc/meminfo", meminfo, "proc/self/cgroup", "12:cpu,cpuacct:/docker/c\n9:memory:/docker/c\n", "sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n"), 1 << 30},
		"that of a service, version 1":   {files("proc/meminfo", meminfo, "proc/self/cgroup", "0::/x\n3:hugetlb,memory:/system.slice/r.service\n", "sys/fs/cgroup/memory/system.slice/r.service/memory.limit_in_bytes", "2147483648\n", "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"), 2 << 30},
		"the machine's, without limits":  {files("proc/meminfo", meminfo, "sys/fs/cgroup/memory.max", "max\n"), 16 << 30},
		"unknown where nothing says it":  {files(), 0},
	} {
		if got := memoryParts(c.root); got != memory.Split(c.want) {
			t.Errorf("%s: got %+v, want the parts of %d", name, got, c.want)
		}
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(400 << 20))
	if got := memoryParts(files("proc/meminfo", meminfo)); got != memory.Split(400<<20) {
		t.Errorf("with GOMEMLIMIT=400MiB: got %+v, want its parts", got)
	}
}

func TestTheCollectorWorksAgainstTheLimitOfTheControlGroup(t *testing.T) {
	group := fstest.MapFS{
		"proc/meminfo":             {Data: []byte("MemTotal: 16777216 kB\n")},
		"sys/fs/cgroup/memory.max": {Data: []byte("1000000000\n")},
	}
	before := debug.SetMemoryLimit(-1)
	stop := limitCollector(group)
	if got := debug.SetMemoryLimit(-1); got != 700_000_000 {
		t.Errorf("got %d, want 70 %% of it", got)
	}
	stop()
	if got := debug.SetMemoryLimit(-1); got != before {
		t.Errorf("afterwards: got %d, want %d again", got, before)
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(600_000_000)) // as GOMEMLIMIT does
	defer limitCollector(group)()
	if got := debug.SetMemoryLimit(-1); got != 420_000_000 {
		t.Errorf("with a lower GOMEMLIMIT: got %d, want 70 %% of it", got)
	}
}
