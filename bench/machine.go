package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// describe describes the machine. Names of machines are left out: they mean nothing to
// others.
func (b *bench) describe(ctx context.Context) {
	b.results.Machine = map[string]string{
		"processors":  strconv.Itoa(runtime.NumCPU()) + " × " + firstField("/proc/cpuinfo", "model name"),
		"memory":      firstField("/proc/meminfo", "MemTotal"),
		"system":      kernel(output(ctx, "", "uname", "-sr")),
		"file system": output(ctx, "", "stat", "-f", "-c", "%T", b.dir),
		"fsync": fmt.Sprintf("%s; %s where the disk has rested for 20 ms (medians of 100, after a write of 4 KiB)",
			b.fsyncTime(0).Round(time.Microsecond), b.fsyncTime(20*time.Millisecond).Round(time.Microsecond)),
	}
	b.results.Versions = map[string]string{
		"go":       runtime.Version(),
		"ringback": output(ctx, b.source, "git", "describe", "--always", "--dirty"),
		"node":     output(ctx, "", "node", "--version"),
		"python":   output(ctx, "", "python3", "--version"),
		"redis":    output(ctx, "", "redis-server", "--version"),
	}
	if server, err := postgresBin("postgres"); err == nil {
		b.results.Versions["postgresql"] = output(ctx, "", server, "--version")
	}
	for _, module := range []string{"github.com/riverqueue/river"} {
		b.results.Versions[filepath.Base(module)] = output(ctx, b.source, "go", "list", "-m", "-f", "{{.Version}}", module)
	}
	for _, pkg := range []string{"bullmq", "express", "@anthropic-ai/sdk"} {
		manifest := filepath.Join(b.source, "bullmq", "node_modules", pkg, "package.json")
		b.results.Versions[pkg] = output(ctx, "", "node", "-p", "require('"+manifest+"').version")
	}
	python := filepath.Join(b.source, "celery", ".venv", "bin", "python")
	for _, pkg := range []string{"celery", "anthropic"} {
		b.results.Versions["python: "+pkg] = output(ctx, "", python, "-c", "import importlib.metadata as m; print(m.version('"+pkg+"'))")
	}
}

// kernel returns its name and version, without the distributor's suffix.
func kernel(release string) string {
	parts := strings.SplitN(release, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// output returns the first line of a command's output; "not there" if it fails.
func output(ctx context.Context, dir string, args ...string) string {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // commands of ours
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return "not there"
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line
}

// firstField finds the value of a field in a file of /proc.
func firstField(path, name string) string {
	f, err := os.Open(path) //nolint:gosec // of /proc
	if err != nil {
		return "unknown"
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, found := strings.Cut(lines.Text(), ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// fsyncTime measures how long the disk takes to make a page durable, after a rest.
func (b *bench) fsyncTime(rest time.Duration) time.Duration {
	f, err := os.CreateTemp(b.dir, "fsync-")
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	page := make([]byte, 4096)
	var took []time.Duration
	for range 100 {
		time.Sleep(rest)
		if _, err := f.Write(page); err != nil {
			return 0
		}
		start := time.Now()
		if err := f.Sync(); err != nil {
			return 0
		}
		took = append(took, time.Since(start))
	}
	return time.Duration(quantile(took, 0.5))
}
