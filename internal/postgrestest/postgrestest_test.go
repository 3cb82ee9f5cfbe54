//go:build unix

package postgrestest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"
)

// hold turns this program into one that has a server, and waits to be killed.
const hold = "POSTGRESTEST_HOLD"

func TestMain(m *testing.M) {
	if how := os.Getenv(hold); how != "" {
		holdServer(how)
	}
	goleak.VerifyTestMain(m)
}

func TestATestHasAnEmptyDatabaseThatGoesWithIt(t *testing.T) {
	var urls []string
	t.Run("two", func(t *testing.T) {
		urls = []string{Database(t), Database(t)}
		for _, url := range urls { // the second would see what the first made
			execute(t, connect(t, url), "create table jobs (id uuid primary key)")
		}
	})
	for _, url := range urls {
		var refused *pgconn.PgError
		if _, err := pgx.Connect(t.Context(), url); !errors.As(err, &refused) || refused.Code != "3D000" {
			t.Errorf("connect after the test: got %v, want: database does not exist", err)
		}
	}
}

func TestTheUserIsNoSuperuserAndWritesReachTheDisk(t *testing.T) {
	db := connect(t, Database(t))
	if got := ask(t, db, "show is_superuser"); got != "off" {
		t.Errorf("is_superuser is %s, want off", got)
	}
	if got := ask(t, db, "show fsync"); got != "on" {
		t.Errorf("fsync is %s, want on", got)
	}
}

func TestAServerTakesSettings(t *testing.T) {
	s := Start(t, "fsync=off", "max_connections=12")
	db := connect(t, s.Database())
	for name, want := range map[string]string{"fsync": "off", "max_connections": "12"} {
		if got := ask(t, db, "show "+name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if got := ask(t, connect(t, s.URL("postgres")), "show is_superuser"); got != "on" {
		t.Errorf("is_superuser by URL is %s, want on", got)
	}
}

func TestWhatIsCommittedIsThereAfterEveryEnd(t *testing.T) {
	s := Start(t)
	url := s.Database()
	execute(t, connect(t, url), "create table ends (name text)")
	for name, end := range map[string]func(){
		"stop":             s.Stop,
		"stop immediately": s.StopImmediately,
		"kill":             s.Kill,
	} {
		db := connect(t, url)
		execute(t, db, "insert into ends values ($1)", name)
		end()
		if err := db.Ping(t.Context()); err == nil {
			t.Errorf("%s: the server still answers", name)
		}
		s.Start()
		if got := ask(t, connect(t, url), "select name from ends where name = $1", name); got != name {
			t.Errorf("%s: %q is there after it, want %q", name, got, name)
		}
	}
	s.Restart()
	if got := ask(t, connect(t, url), "select count(*)::text from ends"); got != "3" {
		t.Errorf("%s rows are there after a restart, want 3", got)
	}
}

func TestAFrozenServerAnswersWhenItIsThawed(t *testing.T) {
	s := Start(t)
	patient, impatient := connect(t, s.Database()), connect(t, s.Database())
	s.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := impatient.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen server: got %v, want no answer", err)
	}
	answered := make(chan error)
	go func() { answered <- patient.Ping(t.Context()) }()
	s.Thaw()
	if err := <-answered; err != nil {
		t.Errorf("asked while it was frozen, after the thaw: %v", err)
	}
}

func TestAServerGoesWithItsTest(t *testing.T) {
	for name, leave := range map[string]func(*Server){
		"running": func(*Server) {},
		"stopped": (*Server).Stop,
		"killed":  (*Server).Kill,
		"frozen":  (*Server).Freeze,
	} {
		var s *Server
		t.Run(name, func(t *testing.T) {
			s = Start(t)
			leave(s)
		})
		mustBeGone(t, s.c.dir, s.URL("postgres"))
	}
}

func TestAServerGoesWhenItsProcessIsKilled(t *testing.T) {
	for _, how := range []string{"running", "frozen"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), hold+"="+how)
			cmd.Stderr = t.Output()
			out, err := cmd.StdoutPipe()
			must(t, err)
			must(t, cmd.Start())
			lines := bufio.NewScanner(out)
			var said [2]string
			for i := range said {
				if !lines.Scan() {
					t.Fatal("the process that was to hold a server has ended")
				}
				said[i] = lines.Text()
			}
			must(t, cmd.Process.Kill())
			cmd.Wait()
			mustBeGone(t, said[0], said[1])
		})
	}
}

// holdServer prints where the server of this process is, and waits.
func holdServer(how string) {
	c, err := shared()
	if err == nil && how == "frozen" {
		err = c.freeze()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, c.dir)
	fmt.Fprintln(os.Stdout, c.url(superuser, "postgres"))
	select {}
}

// mustBeGone waits until nothing is left of a server.
func mustBeGone(t *testing.T, dir, url string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := os.Stat(dir)
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s is still there (%v)", dir, err)
		}
	}
	if db, err := pgx.Connect(t.Context(), url); err == nil {
		db.Close(t.Context())
		t.Error("the server still runs")
	}
}

func BenchmarkDatabase(b *testing.B) {
	c, err := shared()
	must(b, err)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			name, err := c.create()
			must(b, err)
			must(b, c.drop(name))
		}
	})
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	db, err := pgx.Connect(t.Context(), url)
	must(t, err)
	t.Cleanup(func() { db.Close(context.Background()) })
	return db
}

func execute(t *testing.T, db *pgx.Conn, sql string, args ...any) {
	t.Helper()
	_, err := db.Exec(t.Context(), sql, args...)
	must(t, err)
}

// ask runs a query for one text.
func ask(t *testing.T, db *pgx.Conn, sql string, args ...any) string {
	t.Helper()
	var s string
	must(t, db.QueryRow(t.Context(), sql, args...).Scan(&s))
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
