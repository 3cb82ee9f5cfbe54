//go:build unix

// Package postgrestest gives tests a real PostgreSQL, and a real PgBouncer.
//
// Database gives a test an empty database on one server that the tests of a
// process share; it starts with the first of them. Start gives a test a server of
// its own, to be stopped, killed, frozen and started again. Nothing has to be
// called at the end, and nothing is left: a server and its directory go when their
// test ends, or with the process, also when that is killed.
//
// A server is as PostgreSQL comes, but for its memory and connections: fsync is
// on. Its directory is in memory where there is enough of it, so that a sync
// costs nothing. The programs are those in $RINGBACK_POSTGRES_BIN; where that is
// not set, those on the PATH or the newest of Debian's. PostgreSQL refuses to run
// as root: there it runs as the user postgres.
//
// Only tests import it. It knows nothing of Ringback.
package postgrestest

import (
	"context"
	"sync"
	"testing"
	"time"
)

// Database gives the test an empty database of its own on the server that all
// tests of this process share, and drops it when the test ends. The user in the
// URL owns the database and is no superuser, as in production.
func Database(t testing.TB) (url string) {
	t.Helper()
	c, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	name, err := c.create()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.drop(name); err != nil {
			t.Error(err)
		}
	})
	return c.url(owner, name)
}

var shared = sync.OnceValues(func() (*cluster, error) { return newCluster(nil) })

// Server is a PostgreSQL of one test. Its methods fail the test when something
// does not work, so they are for the test's own goroutine.
type Server struct {
	t testing.TB
	c *cluster
}

// Start starts a server for this test, and ends it with the test. Each setting is
// one of postgresql.conf: "max_connections=10".
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	c, err := newCluster(settings)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, c: c}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("PostgreSQL's log:\n%s", s.Log())
		}
		if err := c.remove(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Database makes an empty database and returns its URL, as the function Database
// does. It lasts as long as the server.
func (s *Server) Database() (url string) {
	s.t.Helper()
	name, err := s.c.create()
	s.must(err)
	return s.c.url(owner, name)
}

// URL is that of a database for the superuser. There is always one that is named
// postgres.
func (s *Server) URL(database string) string { return s.c.url(superuser, database) }

// Log is all that the server has logged, over all its starts.
func (s *Server) Log() string { return s.c.log() }

// Stop breaks off all connections, writes down everything and ends the server
// (a "fast" shutdown, as an operator or a package's upgrade does it).
func (s *Server) Stop() {
	s.t.Helper()
	s.must(s.c.stop(fast))
}

// StopImmediately ends the server without writing down what is in its memory
// (an "immediate" shutdown): the next start recovers from the log.
func (s *Server) StopImmediately() {
	s.t.Helper()
	s.must(s.c.stop(immediate))
}

// Kill kills all processes of the server at once (kill -9), as the end of its
// machine would, but for what the disk has not got yet.
func (s *Server) Kill() {
	s.t.Helper()
	s.must(s.c.kill())
}

// Start starts the server again, on the same port and data, and returns when it
// serves.
func (s *Server) Start() {
	s.t.Helper()
	s.must(s.c.start())
}

// Restart is Stop and Start.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.Start()
}

// Freeze stops all processes of the server (SIGSTOP): connections stay open, new
// ones are taken by the kernel, and nothing answers.
func (s *Server) Freeze() {
	s.t.Helper()
	s.must(s.c.freeze())
}

// Thaw lets a frozen server go on.
func (s *Server) Thaw() {
	s.t.Helper()
	s.must(s.c.thaw())
}

func (s *Server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// soon is the longest that a start, a stop or a statement may take on a busy
// machine.
func soon() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Minute)
}
