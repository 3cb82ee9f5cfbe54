package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"slices"

	"github.com/ringback/ringback/internal/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date. Migrations run forward only, each in one
// transaction, with the directory's lock held. A schema newer than this binary is left
// alone if it says that this one may use it.
func migrate(ctx context.Context, conn *sql.Conn) error {
	names, err := migrationNames()
	if err != nil {
		return err
	}
	var version int
	if err := conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if version > len(names) {
		return checkCompatible(ctx, conn, len(names))
	}
	for i, name := range names[version:] {
		if err := apply(ctx, conn, name, version+i+1); err != nil {
			return fmt.Errorf("migrate %s: %w", name, err)
		}
	}
	return nil
}

func migrationNames() ([]string, error) {
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names, nil
}

func checkCompatible(ctx context.Context, conn *sql.Conn, schema int) error {
	var oldest int
	if err := conn.QueryRowContext(ctx, "SELECT oldest_schema FROM store").Scan(&oldest); err != nil {
		return fmt.Errorf("read the oldest schema: %w", err)
	}
	if schema < oldest {
		return fmt.Errorf("%w: it is at schema %d or later, this one knows %d", store.ErrTooNew, oldest, schema)
	}
	return nil
}

func apply(ctx context.Context, conn *sql.Conn, name string, version int) (err error) {
	script, err := migrations.ReadFile("migrations/" + name)
	if err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, undo := conn.ExecContext(ctx, "ROLLBACK")
			err = errors.Join(err, undo)
		}
	}()
	if _, err := conn.ExecContext(ctx, string(script)); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version)); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return err
}
