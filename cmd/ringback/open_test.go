//go:build unix

package main

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ringback/ringback/internal/config"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/postgrestest"
)

// database NAME: sets a variable to the URL of an empty database.
func scriptDatabase(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: database NAME")
	}
	ts.Setenv(args[0], postgrestest.Database(ts.Value(scriptTest{}).(testing.TB)))
}

// password must not appear anywhere.
const password = "s3cret"

// onDatabase returns a node's variables.
func onDatabase(url string) []string {
	return append(os.Environ(), "RINGBACK_DATABASE_URL="+url, "WEBHOOK_SECRET=whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
}

// withPassword adds a user and a password to a database's URL.
func withPassword(t *testing.T, database, user, password string) string {
	t.Helper()
	c, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(database, "//"+c.User+"@", "//"+user+":"+password+"@", 1)
}

// as runs statements, one at a time.
func as(t *testing.T, database string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// wantPasswords makes a server demand a password from everybody but its superuser.
func wantPasswords(t *testing.T, s *postgrestest.Server) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var file string
	if err := conn.QueryRow(t.Context(), "SHOW hba_file").Scan(&file); err != nil {
		t.Fatal(err)
	}
	rules := "host all postgres 127.0.0.1/32 trust\nhost all stranger 127.0.0.1/32 reject\nhost all ringback,hasty,veteran 127.0.0.1/32 scram-sha-256\n"
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	as(t, s.URL("postgres"), "ALTER ROLE ringback PASSWORD '"+password+"'", "CREATE ROLE stranger LOGIN", "SELECT pg_reload_conf()")
}

func TestADatabaseThatWillNotDoEndsTheStartAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	database := server.Database()
	wantPasswords(t, server)
	forgetful := postgrestest.Start(t, "fsync=off")
	asynchronous, old := server.Database(), server.Database()
	as(t, server.URL(nameOf(t, asynchronous)), "CREATE ROLE hasty LOGIN PASSWORD '"+password+"'", "ALTER ROLE hasty SET synchronous_commit = off")
	as(t, server.URL(nameOf(t, old)), "CREATE SCHEMA fake",
		"CREATE FUNCTION fake.current_setting(text) RETURNS text LANGUAGE sql AS $$ SELECT CASE $1 WHEN 'server_version_num' THEN '130011' ELSE pg_catalog.current_setting($1) END $$",
		"CREATE ROLE veteran LOGIN PASSWORD '"+password+"'", "GRANT USAGE ON SCHEMA fake TO veteran", "ALTER ROLE veteran SET search_path = fake, pg_catalog")
	for name, c := range map[string]struct{ url, want string }{
		"a wrong password":            {withPassword(t, database, "ringback", password+"-not"), `password authentication failed for user "ringback" \(SQLSTATE 28P01\); correct the password`},
		"a user that may not come in": {withPassword(t, database, "stranger", password), `SQLSTATE 28000\); correct the user, or let it in by the server's pg_hba.conf`},
		"no such database":            {withPassword(t, server.URL("nowhere"), "ringback", password), `database "nowhere" does not exist \(SQLSTATE 3D000\); correct the database's name, or make it with CREATE DATABASE`},
		"no fsync":                    {forgetful.Database(), `the server has fsync = off: .* set it to on`},
		"asynchronous commits":        {withPassword(t, asynchronous, "hasty", password), `synchronous_commit is off for this user and database: .* set it to on`},
		"an old server":               {withPassword(t, old, "veteran", password), `the server is PostgreSQL 13.11; 14 or newer is needed`},
		"a setting that there is not": {database + "&password=" + password + "&target_session_attrs=x", `database URL: .*unknown target_session_attrs value: x; write it like postgres://`},
	} {
		t.Run(name, func(t *testing.T) {
			_, said, code := runProgram(t, onDatabase(c.url), "serve", "--simulate", "--addr", "127.0.0.1:0", "--data", t.TempDir())
			if code != exit.DataDir || !regexp.MustCompile(`^ringback: the database .* cannot be used: .*`+c.want+`[^\n]*\n$`).MatchString(said) {
				t.Errorf("exit code %d, and it says:\n%swant %s", code, said, c.want)
			}
			if strings.Contains(said, password) {
				t.Errorf("it shows the password:\n%s", said)
			}
		})
	}
}

// nameOf returns the name of a database.
func nameOf(t *testing.T, database string) string {
	t.Helper()
	c, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	return c.Database
}

// runProgram runs the real program to its end.
func runProgram(t *testing.T, env []string, args ...string) (data, said string, code int) {
	t.Helper()
	program, err := exec.LookPath("ringback")
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &stdout, &stderr
	err = cmd.Run()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if err != nil && !ok {
		t.Fatal(err)
	}
	if ok {
		code = exit.ExitCode()
	}
	return stdout.String(), stderr.String(), code
}

// startNode starts the real program on a database; it need not come up.
func startNode(t *testing.T, database string, args ...string) (*exec.Cmd, *lockedBuffer) {
	t.Helper()
	return startNodeIn(t, onDatabase(database), args...)
}

func startNodeIn(t *testing.T, env []string, args ...string) (*exec.Cmd, *lockedBuffer) {
	t.Helper()
	program, err := exec.LookPath("ringback")
	if err != nil {
		t.Fatal(err)
	}
	log := &lockedBuffer{}
	cmd := exec.Command(program, append([]string{"serve", "--simulate", "--drain-timeout", "0s", "--data", filepath.Join(t.TempDir(), "none")}, args...)...)
	cmd.Env, cmd.Stderr = env, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd, log
}

func TestADatabaseThatIsNotThereIsWaitedFor(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	database := withPassword(t, server.Database(), "ringback", password) // the server does not ask for it
	server.Stop()
	addr := freeAddr(t)
	node, log := startNode(t, database, "--addr", addr)
	waitUntil(t, "it says that it waits", func() bool { return strings.Contains(log.String(), "waiting for the database") })
	server.Start()
	waitUntil(t, "it is up", func() bool {
		resp, err := scriptClient.Get("http://" + addr + "/readyz")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil && resp.StatusCode == http.StatusOK
	})
	stop(t, node, log)

	server.Stop()
	node, log = startNode(t, database, "--addr", freeAddr(t))
	waitUntil(t, "it says that it waits", func() bool { return strings.Contains(log.String(), "waiting for the database") })
	stop(t, node, log)
	if !strings.Contains(log.String(), errStopped.Error()) {
		t.Errorf("it does not say why it ended:\n%s", log)
	}
}

// stop ends a node by SIGTERM: it must end normally, and never have shown its password.
func stop(t *testing.T, node *exec.Cmd, log *lockedBuffer) {
	t.Helper()
	node.Process.Signal(syscall.SIGTERM)
	if err := node.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, log)
	}
	if strings.Contains(log.String(), password) {
		t.Errorf("the password is in the log:\n%s", log)
	}
}

func TestJobsThatLieInADataDirectoryBesideADatabaseAreTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ringback.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		config config.Config
		told   bool
	}{
		{config.Config{Data: dir, DatabaseURL: "postgres://h/d"}, true},
		{config.Config{Data: t.TempDir(), DatabaseURL: "postgres://h/d"}, false},
		{config.Config{Data: dir}, false},
	} {
		log := &lockedBuffer{}
		warnOfData(c.config, slog.New(slog.NewTextHandler(log, nil)))
		if told := strings.Contains(log.String(), "ringback migrate"); told != c.told {
			t.Errorf("%+v: the log says %q", c.config, log)
		}
	}
}
