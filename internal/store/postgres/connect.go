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
	// connectTimeout is how long a connection may take to come about where the URL
	// says nothing else.
	connectTimeout = 5 * time.Second
	// A server that could not be reached is left alone for a time that begins with
	// restMin and doubles up to restMax, each moved by half either way: so many nodes
	// do not come back all at once.
	restMin, restMax = 100 * time.Millisecond, 3 * time.Second
)

// sessionSettings are those of the function settings, for connections without a
// pooler.
var sessionSettings = map[string]string{
	"statement_timeout": "10s", "lock_timeout": "1200ms", "idle_in_transaction_session_timeout": "4s",
	"jit": "off", "plan_cache_mode": "force_generic_plan",
	"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off",
}

// settings are the statements that a transaction begins with for want of them.
func (d *dialer) settings() []string {
	if d.pooled {
		return []string{"SELECT ringback.settings()"}
	}
	return nil
}

// dialer opens connections. After a failure it gives that error for a while
// without asking the server.
type dialer struct {
	config *pgx.ConnConfig // through the pooler, if there is one
	direct *pgx.ConnConfig // nil: there is no direct way
	pooled bool

	mu       sync.Mutex
	failures int
	rest     time.Time // until then nobody asks
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

// withoutURL takes the URL out of pgx's error: pgx masks a password where it is
// sure that it is one.
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

// refusals say what to do about what the server will refuse the next time as well.
var refusals = map[string]string{
	"28P01": "correct the password",                                         // invalid_password
	"28000": "correct the user, or let it in by the server's pg_hba.conf",   // invalid_authorization_specification
	"3D000": "correct the database's name, or make it with CREATE DATABASE", // invalid_catalog_name
}

// refused gives an error that waiting does not mend, met by one who opens, what
// there is to be done; all else stays as it is.
func refused(err error) error {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || refusals[e.Code] == "" {
		return err
	}
	return fmt.Errorf("%w; %s", e, refusals[e.Code])
}

// isPooled reports whether somebody stands between us and the server: the number of
// the process that answers is then another than the one we were told.
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

// connect opens a connection, or gives the last error while the server rests.
func (d *dialer) connect(ctx context.Context) (*pgx.Conn, error) { return d.dial(ctx, d.config) }

// patient opens a connection for what may take long: migrations, imports.
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

// errResting: nobody asks the server now.
var errResting = errors.New("it is left alone for a moment")

// turn allows a connection to be tried. After a failure one is, when the rest is
// over; the others go on resting until it is known what became of it.
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

// note learns from an attempt to connect.
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

// closeConn ends a connection politely, but not at any price.
func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// leaveReplica ends a connection to a server that takes no writes any more: after a
// failover the next connection finds the one that does.
func leaveReplica(conn *pgx.Conn, err error) {
	if code(err) == readOnly {
		closeConn(conn)
	}
}

// noteRead learns from the error of a read, whose connections the pool makes.
func (d *dialer) noteRead(err error) {
	if errors.As(err, new(*pgconn.ConnectError)) {
		d.note(err)
	}
}

func isNet(err error) bool {
	var e net.Error
	return errors.As(err, &e) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}
