package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"strings"
)

// dsn names the database and the pragmas of each of its connections.
func dsn(file string, pragmas ...string) string {
	q := url.Values{}
	// A commit is on stable storage when it returns: FULL syncs the log each time.
	q.Add("_pragma", "synchronous(FULL)")
	q.Add("_pragma", "busy_timeout(5000)")
	q.Add("_pragma", "temp_store(MEMORY)")
	if runtime.GOOS == "darwin" {
		// On macOS fsync alone leaves the data in the drive's cache.
		q.Add("_pragma", "fullfsync(1)")
		q.Add("_pragma", "checkpoint_fullfsync(1)")
	}
	for _, p := range pragmas {
		q.Add("_pragma", p)
	}
	return "file:" + (&url.URL{Path: file}).EscapedPath() + "?" + q.Encode()
}

// writer is the one connection that writes. Only one goroutine uses it.
type writer struct {
	db         *sql.DB
	conn       *sql.Conn
	statements map[string]*sql.Stmt // text → prepared

	// commits is the number of the last transaction that wrote: the same number is in the
	// file, so that a commit of unknown outcome can be checked.
	commits int64

	// files are checked after each commit, before its members get their answers.
	files openFiles

	// afterCommit, if set, may replace the success of a commit (tests).
	afterCommit func() error
}

func openWriter(ctx context.Context, file string) (*writer, error) {
	// auto_vacuum must be set before the first page, journal_mode before the
	// first write. The cache holds the hot ends of the trees.
	pragmas := []string{"journal_mode(WAL)", "wal_autocheckpoint(4000)", "cache_size(-16384)", "foreign_keys(0)"}
	if info, err := os.Stat(file); err != nil || info.Size() == 0 {
		// Setting it again on a database that has it would rewrite the database, even one
		// of a newer version, which must be left alone.
		pragmas = append([]string{"auto_vacuum(INCREMENTAL)"}, pragmas...)
	}
	db, err := sql.Open("sqlite", dsn(file, pragmas...))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	w := &writer{db: db, conn: conn, statements: map[string]*sql.Stmt{}}
	var mode string
	err = conn.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode)
	if err == nil && !strings.EqualFold(mode, "wal") {
		err = fmt.Errorf("journal mode is %s, want wal", mode)
	}
	if err == nil {
		// A start on a read-only file must fail now, not at the first job. BEGIN IMMEDIATE
		// alone does not fail: on a read-only file it begins a read transaction.
		_, err = conn.ExecContext(ctx, "BEGIN IMMEDIATE; CREATE TABLE writable (x); ROLLBACK")
	}
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *writer) close() error {
	var errs []error
	for _, s := range w.statements {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, w.conn.Close(), w.db.Close())...)
}

func (w *writer) begin() (*tx, error) {
	tx := &tx{w: w}
	_, err := tx.run("BEGIN IMMEDIATE")
	return tx, err
}

func (w *writer) checkpoint() error {
	var busy, log, moved int
	if err := w.conn.QueryRowContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &log, &moved); err != nil {
		return err
	}
	if busy != 0 {
		return errors.New("a reader is still there")
	}
	return nil
}

// landed reports whether a transaction was committed although its answer was lost.
func (w *writer) landed(t *tx) (bool, error) {
	err := w.readCommits(context.Background())
	return w.commits == t.number, err
}

func (w *writer) readCommits(ctx context.Context) error {
	if err := w.conn.QueryRowContext(ctx, "SELECT commits FROM store").Scan(&w.commits); err != nil {
		return fmt.Errorf("read the number of commits: %w", err)
	}
	return nil
}
