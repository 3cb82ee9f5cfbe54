//go:build unix

package e2e_test

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// nobody is a user without privileges, for tests that root runs: for root no directory is
// read-only.
const nobody = 65534

// asNobody makes a command run without root's privileges.
func asNobody(cmd *exec.Cmd) {
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
}

func TestADirectoryThatMayNotBeWrittenIsNamed(t *testing.T) {
	t.Parallel()
	binary, err := program()
	must(t, err)
	pristine := used(t)
	for _, c := range []struct {
		name, says string
		files      os.FileMode // of the files in it
		dir        os.FileMode
	}{
		{"read-only", `(is read-only|may not be read and written by this user)`, 0o444, 0o555},
		{"closed", `may not be read and written by this user`, 0o600, 0o000},
		{"with a database that is read-only", `(is read-only|may not be read and written by this user)`, 0o444, 0o755},
	} {
		t.Run(c.name, func(t *testing.T) {
			// Below scratch, which anybody may enter.
			dir, err := os.MkdirTemp(scratch, "data-") //nolint:usetesting // t.TempDir may be entered by its owner only
			must(t, err)
			must(t, os.RemoveAll(dir))
			must(t, os.CopyFS(dir, os.DirFS(pristine)))
			give(t, dir, c.dir, c.files)
			before := listing(t, dir)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, binary, "serve", "--simulate", "--addr", "127.0.0.1:0", "--data", dir)
			cmd.Env, cmd.Dir = append(cleanEnviron(), "WEBHOOK_SECRET="+whsecSecret), "/"
			asNobody(cmd)
			out, _ := cmd.CombinedOutput()
			wantRefusal(t, refusal{cmd.ProcessState.ExitCode(), compact(out)}, 5, c.says)
			after := listing(t, dir)
			maps.DeleteFunc(after, func(path, _ string) bool { // SQLite cannot remove what it made beside it
				return before[path] == "" && (strings.HasSuffix(path, "-wal") || strings.HasSuffix(path, "-shm"))
			})
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("the data directory (-before +after):\n%s", diff)
			}
		})
	}
}

// give makes the user who will run the server the owner of a directory.
func give(t *testing.T, dir string, mode, files os.FileMode) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, path := range append(pathsOf(dir, entries), dir) {
		m := files
		if path == dir {
			m = mode
		}
		if os.Geteuid() == 0 {
			must(t, os.Chown(path, nobody, nobody))
		}
		must(t, os.Chmod(path, m))
	}
}

// listing returns contents; it makes the directory accessible if necessary.
func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	info, err := os.Stat(dir)
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	all := contents(t, dir)
	must(t, os.Chmod(dir, info.Mode().Perm()))
	return all
}

func pathsOf(dir string, entries []os.DirEntry) []string {
	var paths []string
	for _, e := range entries {
		paths = append(paths, filepath.Join(dir, e.Name()))
	}
	return paths
}
