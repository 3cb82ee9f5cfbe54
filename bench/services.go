package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// service is a database that a contender needs, fresh for each start of it.
type service interface {
	// missing returns why it is not available here; "" if it is.
	missing() string
	// start starts it with an empty store in dir, and returns the environment of the
	// contender's programs.
	start(ctx context.Context, dir string) (*process, []string, error)
}

// redis is Redis with its append-only file, synced to disk as fsync says.
type redis struct{ fsync string }

func (redis) missing() string {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return "redis-server is missing; sudo apt-get install -y redis-server"
	}
	return ""
}

func (r redis) start(ctx context.Context, dir string) (*process, []string, error) {
	port, err := freePort()
	if err != nil {
		return nil, nil, err
	}
	p, err := program{
		args: []string{
			"redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", "",
			"--appendonly", "yes", "--appendfsync", r.fsync, "--maxmemory-policy", "noeviction", "--loglevel", "warning",
		},
		dir: dir, stderr: filepath.Join(dir, "redis.log"),
	}.start()
	if err != nil {
		return nil, nil, err
	}
	return p, []string{"BENCH_REDIS_PORT=" + port}, listening(ctx, p, port)
}

// databaseURL names the variable that points a contender to its PostgreSQL.
const databaseURL = "BENCH_DATABASE_URL"

// postgres is PostgreSQL as it comes, with room for its connections.
type postgres struct{}

func (postgres) missing() string {
	if _, err := postgresBin("initdb"); err != nil {
		return "PostgreSQL's programs are missing; sudo apt-get install -y postgresql"
	}
	return ""
}

// postgresBin finds a program of PostgreSQL, which Debian keeps off the PATH.
func postgresBin(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) == 0 {
		return "", fmt.Errorf("%s: %w", name, exec.ErrNotFound)
	}
	return slices.Max(found), nil
}

func (postgres) start(ctx context.Context, dir string) (*process, []string, error) {
	port, err := freePort()
	if err != nil {
		return nil, nil, err
	}
	owner, err := postgresOwner(dir)
	if err != nil {
		return nil, nil, err
	}
	data := filepath.Join(dir, "data")
	initdb, err := postgresBin("initdb")
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.CommandContext(ctx, initdb, "--pgdata", data, "--username", "bench", "--auth", "trust", "--encoding", "UTF8", "--no-sync", "--no-instructions") //nolint:gosec // a path of ours
	cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: owner}
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	server, err := postgresBin("postgres")
	if err != nil {
		return nil, nil, err
	}
	p, err := program{
		args: []string{
			server, "-D", data, "-p", port, "-k", dir, "-h", "127.0.0.1",
			"-c", "max_connections=200", "-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB", "-c", "log_min_messages=warning",
		},
		dir: dir, user: owner, stderr: filepath.Join(dir, "..", "postgres.log"),
		quit: syscall.SIGQUIT, // killed, it would leave its shared memory behind
	}.start()
	if err != nil {
		return nil, nil, err
	}
	url := fmt.Sprintf("postgres://bench@127.0.0.1:%s/postgres?sslmode=disable", port)
	return p, []string{databaseURL + "=" + url}, eventually(ctx, p, func() bool {
		conn, err := pgx.Connect(ctx, url) // it listens before it can serve
		if err != nil {
			return false
		}
		return conn.Close(ctx) == nil
	})
}

// postgresOwner makes the user postgres the owner of dir if we are root, as whom PostgreSQL
// refuses to run; nil means that we run it ourselves.
func postgresOwner(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, int(uid), int(gid)) //nolint:gosec // 32 bits
}

// freePort returns a port that is not in use.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return "", err
	}
	return port, l.Close()
}

// listening waits until the port accepts connections.
func listening(ctx context.Context, p *process, port string) error {
	return eventually(ctx, p, func() bool {
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
}

// eventually waits until so reports true, or the process has ended.
func eventually(ctx context.Context, p *process, so func() bool) error {
	for !so() {
		select {
		case <-p.gone:
			return fmt.Errorf("%s: %w", p.name, errEnded)
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", p.name, ctx.Err())
		case <-time.After(2 * time.Millisecond):
		}
	}
	return nil
}
