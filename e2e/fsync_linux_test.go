package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store/sqlite"
)

// A 202 means that its job is on stable storage. No kill can show that: what a process has
// written outlives it without any fsync. So strace records each write, fsync and 202 of the
// real program in order. From that the test makes a disk as a power loss would leave it
// just before a 202 is sent: with what was covered by an fsync that was over by then, and
// nothing else. The job must be there.
func TestA202IsSentWhenAPowerLossWouldKeepItsJob(t *testing.T) {
	t.Parallel()
	const alone, together, callers = 16, 256, 64
	w := newWorld(t, setup{barrier: newBarrier(0)})    // no call is answered: jobs are only accepted
	w.dir = filepath.Join(w.dir, "and", "more", "new") // directories whose names must be durable as well
	trace := filepath.Join(t.TempDir(), "trace")
	w.command = slices.Concat(strace(t, trace), w.command)
	s := w.start("--concurrency", "1")
	w.ready()
	var ids []string
	for range alone {
		ids = append(ids, w.submit(ringback.Request{Prompt: "alone", Model: "sim/echo"}))
	}
	ids = append(ids, w.submitAtOnce(together, callers)...)
	s.kill() // strace ends with it

	stable := storage{dir: w.dir, inodes: map[string]*inode{}, answered: map[string]int{}}
	for c := range straced(t, trace) {
		stable.take(t, c)
	}
	stable.wantAnswered(t)
	for _, id := range ids {
		if _, ok := stable.answered[id]; !ok {
			t.Fatalf("job %s was accepted, but its 202 is not in the trace", id)
		}
	}
	for i := 1; i < alone; i++ {
		if stable.answered[ids[i]] == stable.answered[ids[i-1]] {
			t.Errorf("no fsync of the log between the 202 of job %d and the next one", i)
		}
	}
	one := stable.answered[ids[alone-1]] - stable.answered[ids[0]]
	shared := stable.syncs - stable.answered[ids[alone-1]]
	t.Logf("fsyncs of the log: %d for %d jobs one after the other, %d for %d jobs of %d callers", one, alone-1, shared, together, callers)
	if shared >= together {
		t.Errorf("%d jobs of %d callers took %d fsyncs, want fewer than jobs", together, callers, shared)
	}
}

// submitAtOnce submits n jobs, that many at a time.
func (w *world) submitAtOnce(n, callers int) []string {
	w.t.Helper()
	ids := make([]string, n)
	var g errgroup.Group
	g.SetLimit(callers)
	for i := range ids {
		g.Go(func() error {
			accepted, err := w.api.Submit(w.t.Context(), ringback.Request{Prompt: "together", Model: "sim/echo", CallbackURL: w.callback})
			ids[i] = accepted.JobID
			return err
		})
	}
	must(w.t, g.Wait())
	return ids
}

// storage is what is on stable storage at a moment of a trace: what a power loss would
// leave.
type storage struct {
	dir      string            // the data directory
	inodes   map[string]*inode // by path; those that the trace has changed
	syncs    int               // of the log, successful ones
	unseen   []string          // jobs that were answered since wantAnswered
	answered map[string]int    // job → syncs before its 202
}

// inode is a file or a directory.
type inode struct {
	changes []change
	kept    int  // the first changes, which are on stable storage
	isNew   bool // the trace shows how it got its name
}

// change is a write to a file, or a new name in a directory.
type change struct {
	data   string
	offset int
	name   string
}

func (s *storage) inode(path string) *inode {
	if s.inodes[path] == nil {
		s.inodes[path] = new(inode)
	}
	return s.inodes[path]
}

// take applies a call to the storage, at its beginning and at its end. A write counts from
// its end, an fsync covers what had ended when it began, and a 202 counts from its
// beginning.
func (s *storage) take(t *testing.T, c *call) {
	t.Helper()
	ended := c.result != ""
	switch c.name {
	case "write":
		if !ended {
			s.answer(t, c)
		}
	case "mkdirat":
		if c.result == "0" {
			s.name(unhex(t, c.args[1]))
		}
	case "pwrite64":
		if ended {
			s.write(t, c)
		}
	case "fsync", "fdatasync":
		if !ended {
			c.covers = len(s.inode(c.path(t)).changes)
		} else if c.result == "0" {
			s.sync(t, c)
		}
	}
}

var jobID = regexp.MustCompile(`"job_id":"([^"]+)"`)

// answer records the job of a 202.
func (s *storage) answer(t *testing.T, c *call) {
	t.Helper()
	text := unhex(t, c.args[1])
	if !strings.HasPrefix(text, "HTTP/1.1 202 ") {
		return
	}
	id := jobID.FindStringSubmatch(text)
	if id == nil {
		t.Fatalf("a 202 without a job: %q", text)
	}
	s.answered[id[1]] = s.syncs
	s.unseen = append(s.unseen, id[1])
}

// name records a new name; for a file the first write does so, which comes later.
func (s *storage) name(path string) {
	if i := s.inode(path); !i.isNew {
		i.isNew = true
		dir := s.inode(filepath.Dir(path))
		dir.changes = append(dir.changes, change{name: path})
	}
}

func (s *storage) write(t *testing.T, c *call) {
	t.Helper()
	data := unhex(t, c.args[1])
	if c.result != strconv.Itoa(len(data)) {
		t.Fatalf("pwrite64 of %d bytes: %s", len(data), c.result)
	}
	offset, err := strconv.Atoi(c.args[3])
	must(t, err)
	path := c.path(t)
	s.name(path)
	s.inode(path).changes = append(s.inode(path).changes, change{data: data, offset: offset})
}

func (s *storage) sync(t *testing.T, c *call) {
	t.Helper()
	s.wantAnswered(t) // before more is kept
	path := c.path(t)
	s.inode(path).kept = max(s.inode(path).kept, c.covers)
	if path == s.log() {
		s.syncs++
	}
}

func (s *storage) log() string { return filepath.Join(s.dir, "ringback.db-wal") }

// wantAnswered simulates a power loss, and looks for the jobs that were answered since the
// last time.
func (s *storage) wantAnswered(t *testing.T) {
	t.Helper()
	if len(s.unseen) == 0 {
		return
	}
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(s.dir, "ringback.db"), s.log()} {
		if s.named(path) {
			must(t, os.WriteFile(filepath.Join(dir, filepath.Base(path)), s.inode(path).content(), 0o600))
		}
	}
	st, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	must(t, err)
	defer st.Close()
	for _, id := range s.unseen {
		if _, _, err := st.Job(t.Context(), "default", uuid.MustParse(id), 0); err != nil {
			t.Fatalf("a power loss when the 202 of job %s was about to be sent would lose it: %v", id, err)
		}
	}
	s.unseen = nil
}

// named reports whether a path would be found after a power loss: its name is durable, and
// that of each new directory above it.
func (s *storage) named(path string) bool {
	for ; s.inode(path).isNew; path = filepath.Dir(path) {
		dir := s.inode(filepath.Dir(path))
		if !slices.Contains(dir.changes[:dir.kept], change{name: path}) {
			return false
		}
	}
	return true
}

// content returns what a power loss would leave of a file.
func (i *inode) content() []byte {
	var content []byte
	for _, c := range i.changes[:i.kept] {
		if end := c.offset + len(c.data); end > len(content) {
			content = append(content, make([]byte, end-len(content))...)
		}
		copy(content[c.offset:], c.data)
	}
	return content
}
