//go:build unix

package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Bouncer puts a PgBouncer in front of a database until the test ends, and returns the
// database's URL through it. It pools by transaction; everything else is PgBouncer's
// default: its handling of prepared statements depends on its version.
func Bouncer(t testing.TB, database string) (url string) {
	t.Helper()
	return startBouncer(t, database, "")
}

// BouncerWithoutStatements is Bouncer with a PgBouncer that does not support prepared
// statements, as none did before 1.21: one that was prepared in a transaction may be
// unknown in the next.
func BouncerWithoutStatements(t testing.TB, database string) (url string) {
	t.Helper()
	program, err := findBouncer()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(program, "--version").Output()
	if err != nil {
		t.Fatalf("%s --version: %v", program, err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(string(out), "PgBouncer %d.%d", &major, &minor); err != nil {
		t.Fatalf("the version of PgBouncer is not in %q: %v", out, err)
	}
	if major == 1 && minor < 21 {
		return startBouncer(t, database, "") // which would refuse the setting
	}
	return startBouncer(t, database, "max_prepared_statements = 0")
}

func startBouncer(t testing.TB, database, setting string) string {
	t.Helper()
	b, err := newBouncer(database, setting)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("PgBouncer's log:\n%s", b.log())
		}
		if err := b.remove(); err != nil {
			t.Error(err)
		}
	})
	return b.url
}

type bouncer struct {
	*process

	url string // of the database
}

func newBouncer(database, setting string) (_ *bouncer, err error) {
	program, err := findBouncer()
	if err != nil {
		return nil, err
	}
	behind, err := url.Parse(database)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p, err := newProcess("pgbouncer")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = p.remove()
		}
	}()
	if _, err := p.write("users", fmt.Sprintf("%q %q\n%q %q\n", owner, "", superuser, "")); err != nil {
		return nil, err
	}
	config, err := p.write("pgbouncer.ini", bouncerConfig(behind, port, setting))
	if err != nil {
		return nil, err
	}
	if err := p.start(program, config); err != nil {
		return nil, err
	}
	front := *behind
	front.Host = net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
	return &bouncer{p, front.String()}, p.await(func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, front.String())
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
}

func bouncerConfig(behind *url.URL, port int, setting string) string {
	return fmt.Sprintf(`[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = trust
auth_file = users
pool_mode = transaction
%s
`, behind.Hostname(), behind.Port(), port, setting)
}

// findBouncer finds PgBouncer, which Debian installs outside users' PATH.
func findBouncer() (string, error) {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("PgBouncer is missing: sudo apt-get install -y pgbouncer")
}
