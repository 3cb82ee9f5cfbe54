//go:build unix

// Package postgrestest runs a real PostgreSQL, and a real PgBouncer, for tests.
//
// Database returns an empty database on one server that the tests of a process share; it
// starts with the first of them. Start starts a server for one test, to be stopped, killed,
// frozen and started again. Nothing has to be cleaned up: a server and its directory are
// removed when their test ends, or with the process, even when that is killed.
//
// A server has PostgreSQL's defaults, except for its memory and connections: fsync is on.
// Its directory is in memory if there is enough of it, so that a sync costs nothing. The
// programs are those in $RINGBACK_POSTGRES_BIN; if that is not set, those on the PATH or
// the newest of Debian's. PostgreSQL refuses to run as root: then it runs as the user
// postgres.
//
// Only tests import it. It knows nothing of Ringback.
package postgrestest

import (
	"context"
	"sync"
	"testing"
	"time"
)

// Database creates an empty database on the server that all tests of this process share,
// and drops it when the test ends. The user in the URL owns the database and is not a
// superuser, as in production.
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

// Server is a PostgreSQL for one test. Its methods fail the test if something does not
// work, so they must be called from the test's own goroutine.
type Server struct {
	t testing.TB
	c *cluster
}

// Start starts a server for this test, and stops it when the test ends. Each setting is one
// of postgresql.conf: "max_connections=10".
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

// Database creates an empty database and returns its URL, like the function Database. It
// lasts as long as the server.
func (s *Server) Database() (url string) {
	s.t.Helper()
	name, err := s.c.create()
	s.must(err)
	return s.c.url(owner, name)
}

// URL returns the superuser's URL of a database. There is always one named postgres.
func (s *Server) URL(database string) string { return s.c.url(superuser, database) }

// Log returns everything that the server has logged, over all its starts.
func (s *Server) Log() string { return s.c.log() }

// Stop breaks off all connections, writes everything to disk and ends the server (a "fast"
// shutdown, as an operator or a package's upgrade does it).
func (s *Server) Stop() {
	s.t.Helper()
	s.must(s.c.stop(fast))
}

// StopImmediately ends the server without writing its memory to disk (an "immediate"
// shutdown): the next start recovers from the log.
func (s *Server) StopImmediately() {
	s.t.Helper()
	s.must(s.c.stop(immediate))
}

// Kill kills all processes of the server at once (kill -9), like the end of its machine,
// except that what was written but not synced survives.
func (s *Server) Kill() {
	s.t.Helper()
	s.must(s.c.kill())
}

// Start starts the server again, on the same port and data, and returns when it accepts
// connections.
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

// Freeze stops all processes of the server (SIGSTOP): connections stay open, the kernel
// accepts new ones, and nothing answers.
func (s *Server) Freeze() {
	s.t.Helper()
	s.must(s.c.freeze())
}

// Thaw lets a frozen server continue.
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

// soon bounds how long a start, a stop or a statement may take on a busy machine.
func soon() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Minute)
}
