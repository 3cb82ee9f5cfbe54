package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback/internal/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// oldestServer is the oldest supported PostgreSQL, as server_version_num.
	oldestServer = 140000
	// migrateLock is the advisory lock under which schemas are made and migrated.
	migrateLock = 0x72696e676261636b // "ringback"
)

// oldestSchema is the number of the oldest schema whose binaries may still run on the one
// that this binary makes: in a rolling upgrade, the one before this.
const oldestSchema = 1

// prepare refuses a server that does not keep what it has committed, and migrates the
// schema to this binary's.
func (s *Store) prepare(ctx context.Context) error {
	conn, err := s.dial.patient(ctx)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	if err := checkServer(ctx, conn); err != nil {
		return err
	}
	err = fault(migrate(ctx, conn))
	if errors.Is(err, store.ErrBusy) { // for example, a backup reads the tables: a start waits for its end
		return unavailable(err)
	}
	return err
}

func checkServer(ctx context.Context, conn *pgx.Conn) error {
	var version int
	var fsync, synchronous string
	var replica bool
	err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('fsync'), current_setting('synchronous_commit'), pg_is_in_recovery()`).
		Scan(&version, &fsync, &synchronous, &replica)
	switch {
	case err != nil:
		return fmt.Errorf("ask the server how it is set up: %w", fault(err))
	case version < oldestServer:
		return fmt.Errorf("the server is PostgreSQL %d.%d; 14 or newer is needed", version/10000, version%10000)
	case replica:
		return unavailable(errors.New("the server is a replica and takes no writes; name the primary, or all of them with target_session_attrs=read-write"))
	case fsync == "off":
		return errors.New("the server has fsync = off: a power failure would lose jobs that were accepted; set it to on")
	case synchronous == "off":
		return errors.New("synchronous_commit is off for this user and database: a crash would lose jobs that were accepted; set it to on (ALTER ROLE … SET synchronous_commit = on)")
	}
	return nil
}

// migrate runs the missing migrations, forward only, all in one transaction and under a
// lock: many nodes may start at once. A schema newer than this binary is left alone if it
// says that this one may use it.
func migrate(ctx context.Context, conn *pgx.Conn) error {
	names, err := migrationNames()
	if err != nil {
		return err
	}
	return migrateTo(ctx, conn, names)
}

// migrateTo is migrate for a binary that knows only the given migrations.
func migrateTo(ctx context.Context, conn *pgx.Conn, names []string) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx) //nolint:errcheck // after a commit there is nothing to roll back
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, migrateLock); err != nil {
		return fmt.Errorf("lock the schema: %w", err)
	}
	version, oldest, err := schemaVersion(ctx, tx)
	if err != nil {
		return err
	}
	if version > len(names) && len(names) < oldest {
		return fmt.Errorf("%w: it is at schema %d or later, this one knows %d", store.ErrTooNew, oldest, len(names))
	}
	if version >= len(names) {
		return nil
	}
	for _, name := range names[version:] {
		script, err := migrations.ReadFile("migrations/" + name)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, string(script), pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("migrate %s: %w", name, err)
		}
	}
	if _, err := tx.Exec(ctx, `UPDATE ringback.schema SET version = $1, oldest = $2`, len(names), oldestSchema); err != nil {
		return fmt.Errorf("note the schema's version: %w", err)
	}
	return tx.Commit(ctx)
}

// schemaVersion reads which migrations have run; it makes the schema if there is none.
func schemaVersion(ctx context.Context, tx pgx.Tx) (version, oldest int, err error) {
	var exists bool
	if err := tx.QueryRow(ctx, `SELECT to_regclass('ringback.schema') IS NOT NULL`).Scan(&exists); err != nil {
		return 0, 0, fmt.Errorf("look for the schema: %w", err)
	}
	if exists {
		err := tx.QueryRow(ctx, `SELECT version, oldest FROM ringback.schema`).Scan(&version, &oldest)
		if err != nil {
			return 0, 0, fmt.Errorf("read the schema's version: %w", err)
		}
		return version, oldest, nil
	}
	var made bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = 'ringback')`).Scan(&made); err != nil {
		return 0, 0, err
	}
	script := "CREATE TABLE ringback.schema (version integer NOT NULL, oldest integer NOT NULL); INSERT INTO ringback.schema VALUES (0, 0)"
	if !made { // a role that may only use an existing schema does not need to create one
		script = "CREATE SCHEMA ringback; " + script
	}
	if _, err := tx.Exec(ctx, script, pgx.QueryExecModeSimpleProtocol); err != nil {
		return 0, 0, fmt.Errorf("make the schema ringback (the user needs CREATE on the database, or an empty schema of that name): %w", err)
	}
	return 0, 0, nil
}

func migrationNames() ([]string, error) {
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".sql") {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}
