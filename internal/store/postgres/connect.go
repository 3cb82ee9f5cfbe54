package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ringback/ringback/internal/backoff"
)

const (
	// connectTimeout is how long a connection may take to be established unless the URL
	// says otherwise.
	connectTimeout = 5 * time.Second
	// A server that could not be reached is left alone for a time that begins with restMin
	// and doubles up to restMax, each jittered by half either way, so that many nodes do
	// not return all at once.
	restMin, restMax = 100 * time.Millisecond, 3 * time.Second
)

// sessionSettings are those of the SQL function ringback.settings, for connections without
// a pooler.
var sessionSettings = map[string]string{
	"statement_timeout": "10s", "lock_timeout": "1200ms", "idle_in_transaction_session_timeout": "4s",
	"jit": "off", "plan_cache_mode": "force_generic_plan",
	"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off",
}

// settings returns the statements that a transaction begins with when the session does not
// have them.
func (d *dialer) settings() []string {
	if d.pooled {
		return []string{"SELECT ringback.settings()"}
	}
	return nil
}

// dialer opens connections. After a failure it returns that error for a while without
// asking the server.
type dialer struct {
	config *pgx.ConnConfig // through the pooler, if there is one
	direct *pgx.ConnConfig // nil: there is no direct way
	pooled bool

	mu       sync.Mutex
	failures int
	rest     time.Time // no connection is tried until then
	last     error
}

func newDialer(ctx context.Context, cfg Config) (*dialer, error) {
	d := &dialer{}
	var err error
	if d.config, err = parse("database URL", cfg.URL); err != nil {
		return nil, err
	}
	if cfg.DirectURL != "" {
		if d.direct, err = parse("direct database URL", cfg.DirectURL); err != nil {
			return nil, err
		}
	}
	if d.pooled, err = d.isPooled(ctx); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", d.place(), refused(unavailable(err)))
	}
	if d.pooled {
		// Prepared statements belong to a session. Descriptions of statements do not.
		d.config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
		return d, nil
	}
	maps.Copy(d.config.RuntimeParams, sessionSettings)
	if d.direct == nil {
		d.direct = d.config
	}
	return d, nil
}

func parse(what, url string) (*pgx.ConnConfig, error) {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; write it like postgres://user:password@host:5432/database", what, withoutURL(err))
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "ringback"
	}
	return c, nil
}

// withoutURL removes the URL from pgx's error: pgx masks a password only where it is sure
// that it is one.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		e.ConnString = "the URL"
	}
	return err
}

// place names the database without a secret.
func (d *dialer) place() string {
	return fmt.Sprintf("postgres://%s/%s", net.JoinHostPort(d.config.Host, fmt.Sprint(d.config.Port)), d.config.Database)
}

// refusals say what to do about errors that the server would return again.
var refusals = map[string]string{
	"28P01": "correct the password",                                         // invalid_password
	"28000": "correct the user, or let it in by the server's pg_hba.conf",   // invalid_authorization_specification
	"3D000": "correct the database's name, or make it with CREATE DATABASE", // invalid_catalog_name
}

// refused adds to an error that waiting does not fix, met while opening, what to do about
// it; all other errors stay unchanged.
func refused(err error) error {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || refusals[e.Code] == "" {
		return err
	}
	return fmt.Errorf("%w; %s", e, refusals[e.Code])
}

// isPooled reports whether there is a pooler between us and the server: the process that
// answers then has another number than we were told.
func (d *dialer) isPooled(ctx context.Context) (bool, error) {
	c := d.config.Copy()
	c.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return false, err
	}
	defer closeConn(conn)
	var pid uint32
	if err := conn.QueryRow(ctx, "SELECT pg_backend_pid()::int8").Scan(&pid); err != nil {
		return false, err
	}
	return pid != conn.PgConn().PID(), nil
}

// connect opens a connection, or returns the last error while the server rests.
func (d *dialer) connect(ctx context.Context) (*pgx.Conn, error) { return d.dial(ctx, d.config) }

// patient opens a connection for operations that may take long: migrations, imports.
func (d *dialer) patient(ctx context.Context) (*pgx.Conn, error) {
	c := d.config.Copy()
	for name := range sessionSettings {
		delete(c.RuntimeParams, name)
	}
	return d.dial(ctx, c)
}

func (d *dialer) dial(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	if err := d.turn(); err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, config.Copy())
	d.note(err)
	return conn, unavailable(err)
}

// errResting: connecting is not tried now.
var errResting = errors.New("it is left alone for a moment")

// turn allows a connection to be tried. After a failure it allows one when the rest is
// over; the others keep resting until its outcome is known.
func (d *dialer) turn() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Now().Before(d.rest) {
		return unavailable(fmt.Errorf("%w: %w", errResting, d.last))
	}
	if d.failures > 0 {
		d.rest = time.Now().Add(backoff.Jitter(pauseAfter(d.failures), backoff.Half))
	}
	return nil
}

// note records the outcome of an attempt to connect.
func (d *dialer) note(err error) {
	if errors.Is(err, errResting) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		d.failures, d.rest = 0, time.Time{}
		return
	}
	d.rest, d.last = time.Now().Add(backoff.Jitter(pauseAfter(d.failures), backoff.Half)), err
	d.failures++
}

func pauseAfter(failures int) time.Duration { return min(restMax, restMin<<min(failures, 8)) }

// pool opens the connections for reads.
func (d *dialer) pool(ctx context.Context, size int) (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig(d.config.ConnString())
	if err != nil {
		return nil, err
	}
	c.ConnConfig = d.config.Copy()
	c.MaxConns, c.MinConns = int32(size), 1
	c.MaxConnLifetime = time.Hour
	c.MaxConnLifetimeJitter = 10 * time.Minute
	c.BeforeConnect = func(context.Context, *pgx.ConnConfig) error { return d.turn() }
	c.AfterConnect = func(context.Context, *pgx.Conn) error {
		d.note(nil)
		return nil
	}
	return pgxpool.NewWithConfig(ctx, c)
}

// closeConn ends a connection politely, but does not wait for long.
func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// leaveReplica ends a connection to a server that no longer accepts writes: after a
// failover the next connection finds the one that does.
func leaveReplica(conn *pgx.Conn, err error) {
	if code(err) == readOnly {
		closeConn(conn)
	}
}

// noteRead records the error of a read, whose connections the pool makes.
func (d *dialer) noteRead(err error) {
	if errors.As(err, new(*pgconn.ConnectError)) {
		d.note(err)
	}
}

func isNet(err error) bool {
	var e net.Error
	return errors.As(err, &e) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}
