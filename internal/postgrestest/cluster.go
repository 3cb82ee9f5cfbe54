//go:build unix

package postgrestest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/jackc/pgx/v5"
)

const (
	superuser = "postgres"
	owner     = "ringback"
)

// The ways to stop PostgreSQL, by the signals that ask for them.
const (
	fast      = syscall.SIGINT
	immediate = syscall.SIGQUIT
)

// cluster is a PostgreSQL server with its own data.
type cluster struct {
	*process

	programs string // the directory of PostgreSQL's programs
	port     int
	settings []string
	created  atomic.Int64 // databases
}

// newCluster makes an empty cluster and starts it.
func newCluster(settings []string) (_ *cluster, err error) {
	programs, err := findPrograms()
	if err != nil {
		return nil, err
	}
	p, err := newProcess("postgres")
	if err != nil {
		return nil, err
	}
	c := &cluster{process: p, programs: programs, settings: settings}
	defer func() {
		if err != nil {
			_ = c.remove()
		}
	}()
	if err := c.initialise(); err != nil {
		return nil, err
	}
	if c.port, err = freePort(); err != nil {
		return nil, err
	}
	if err := c.start(); err != nil {
		return nil, err
	}
	return c, c.execute("create role " + owner + " login")
}

// findPrograms returns the directory of PostgreSQL's programs, which Debian installs
// outside the PATH.
func findPrograms() (string, error) {
	if dir := os.Getenv("RINGBACK_POSTGRES_BIN"); dir != "" {
		return filepath.Abs(dir)
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", fmt.Errorf("PostgreSQL's programs are missing: sudo apt-get install -y postgresql")
	}
	return filepath.Dir(slices.Max(found)), nil
}

func (c *cluster) initialise() error {
	return c.run(filepath.Join(c.programs, "initdb"), "--pgdata", c.data(), "--username", superuser, "--auth", "trust",
		"--encoding", "UTF8", "--no-locale", "--no-sync", "--no-instructions")
}

func (c *cluster) data() string { return filepath.Join(c.dir, "data") }

// start starts the server and returns when it accepts connections.
func (c *cluster) start() error {
	args := []string{"-D", c.data(), "-k", c.dir, "-h", "127.0.0.1", "-p", fmt.Sprint(c.port)}
	for _, s := range slices.Concat([]string{
		"max_connections=300",
		"shared_buffers=16MB",             // dropping a database scans all of them
		"max_wal_size=256MB",              // it may be in memory
		"dynamic_shared_memory_type=mmap", // in the directory, so that a killed server leaves nothing behind
	}, c.settings) {
		args = append(args, "-c", s)
	}
	if err := c.process.start(filepath.Join(c.programs, "postgres"), args...); err != nil {
		return err
	}
	return c.await(func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, c.url(superuser, "postgres"))
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
}

func (c *cluster) url(user, database string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", user, c.port, database)
}

// create makes an empty database and returns its name.
func (c *cluster) create() (string, error) {
	name := fmt.Sprintf("test_%d", c.created.Add(1))
	return name, c.execute("create database " + name + " owner " + owner)
}

func (c *cluster) drop(name string) error {
	return c.execute("drop database " + name + " with (force)")
}

// execute runs a statement as the superuser.
func (c *cluster) execute(statement string) error {
	ctx, cancel := soon()
	defer cancel()
	conn, err := pgx.Connect(ctx, c.url(superuser, "postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}
