package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// postgresStore is that of the nodes on PostgreSQL.
type postgresStore struct{}

// multiply makes PostgreSQL copy the rows, all tables at once, and leaves them as they
// would be some time after so many jobs: vacuumed, analyzed, on disk.
func (s postgresStore) multiply(ctx context.Context, u *up, n int) error {
	return s.connected(ctx, u, func(conn *pgx.Conn) error {
		var head string
		if err := conn.QueryRow(ctx, `SELECT `+headOf("id")+` FROM ringback.jobs WHERE status <> 1`).Scan(&head); err != nil {
			return fmt.Errorf("find the job to multiply: %w", err)
		}
		copies, copying := errgroup.WithContext(ctx)
		for _, c := range copied {
			copies.Go(func() error {
				return s.connected(copying, u, func(conn *pgx.Conn) error { return multiplyRows(copying, conn, c.table, c.id, head, n) })
			})
		}
		if err := copies.Wait(); err != nil {
			return err
		}
		for _, statement := range []string{
			fmt.Sprintf(`UPDATE ringback.counters SET n = n * (%d + 1) WHERE kind = 'job'`, n), `VACUUM ANALYZE`, `CHECKPOINT`,
		} {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	})
}

// headOf returns the part of an id that a job shares with its deliveries: its first 8
// bytes.
func headOf(id string) string { return "substr(" + id + "::text, 1, 18)" }

// multiplyRows copies the rows whose ids begin with head. As in multiplyTable,
// each copy gets a time of its own there.
func multiplyRows(ctx context.Context, conn *pgx.Conn, table, id, head string, n int) error {
	rows, err := conn.Query(ctx, "SELECT * FROM ringback."+table+" LIMIT 0")
	if err != nil {
		return err
	}
	rows.Close()
	first := time.Now().Add(-time.Hour).UnixMilli()
	var columns, values []string
	for _, f := range rows.FieldDescriptions() {
		value := f.Name
		if f.Name == id || f.Name == "job" {
			value = fmt.Sprintf("(lpad(to_hex(%d + k), 12, '0') || '7000' || substr(%s::text, 20))::uuid", first, f.Name)
		}
		columns, values = append(columns, f.Name), append(values, value)
	}
	_, err = conn.Exec(ctx, fmt.Sprintf(`INSERT INTO ringback.%s (%s) SELECT %s FROM generate_series(1, %d::bigint) k
			CROSS JOIN (SELECT * FROM ringback.%s WHERE %s = $1) one`,
		table, strings.Join(columns, ", "), strings.Join(values, ", "), n, table, headOf(id)), head)
	if err != nil {
		return fmt.Errorf("multiply %s: %w", table, err)
	}
	return nil
}

func (s postgresStore) size(ctx context.Context, u *up) (bytes int64, err error) {
	err = s.connected(ctx, u, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT pg_database_size(current_database())`).Scan(&bytes)
	})
	return bytes, err
}

func (postgresStore) connected(ctx context.Context, u *up, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, u.setup.value(databaseURL))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return do(conn)
}
