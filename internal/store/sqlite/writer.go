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

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/ringback/ringback/internal/shortage"
)

// errLost stands for an answer to COMMIT that never came; only tests bring it
// about, since with SQLite the answer is a return value.
var errLost = errors.New("answer to the commit was lost")

// dsn names the database and the pragmas of each of its connections.
func dsn(file string, pragmas ...string) string {
	q := url.Values{}
	// A commit is on stable storage when it returns: FULL syncs the log each time.
	q.Add("_pragma", "synchronous(FULL)")
	q.Add("_pragma", "busy_timeout(5000)")
	q.Add("_pragma", "temp_store(MEMORY)")
	if runtime.GOOS == "darwin" {
		// There fsync alone leaves the data in the drive's cache.
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

	// commits is the number of the last transaction that wrote: the same number
	// is in the file, so that a commit of unknown outcome can be asked about.
	commits int64

	// files are checked after each commit, before its members are answered.
	files openFiles

	// afterCommit, if set, may replace the success of a commit (tests).
	afterCommit func() error
}

func openWriter(ctx context.Context, file string) (*writer, error) {
	// auto_vacuum must be set before the first page, journal_mode before the
	// first write. The cache holds the hot ends of the trees.
	pragmas := []string{"journal_mode(WAL)", "wal_autocheckpoint(4000)", "cache_size(-16384)", "foreign_keys(0)"}
	if info, err := os.Stat(file); err != nil || info.Size() == 0 {
		// Set on a database that has it, it would be written once more: also on
		// one of a newer version, which is to be left as it is.
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
		// A start on a read-only file must fail now, not at the first job. BEGIN
		// IMMEDIATE alone does not: of a read-only file it makes a read.
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

// tx is a transaction of the writer. It is never under a caller's context: a
// cancelled member would interrupt its neighbours.
type tx struct {
	w       *writer
	writes  int
	number  int64 // of its commit
	effects []func()
}

// after is run once the transaction is committed.
func (t *tx) after(f func()) { t.effects = append(t.effects, f) }

// exec writes. It returns how many rows changed.
func (t *tx) exec(query string, args ...any) (int64, error) {
	t.writes++
	res, err := t.run(query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (t *tx) run(query string, args ...any) (sql.Result, error) {
	stmt, err := t.prepare(query)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(context.Background(), args...)
}

func (t *tx) query(query string, args ...any) (*sql.Rows, error) {
	stmt, err := t.prepare(query)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(context.Background(), args...)
}

// row reads one row; sql.ErrNoRows if there is none.
func (t *tx) row(query string, args ...any) scanner {
	stmt, err := t.prepare(query)
	if err != nil {
		return failed{err}
	}
	return stmt.QueryRowContext(context.Background(), args...)
}

func (t *tx) prepare(query string) (*sql.Stmt, error) {
	if stmt, ok := t.w.statements[query]; ok {
		return stmt, nil
	}
	stmt, err := t.w.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	t.w.statements[query] = stmt
	return stmt, nil
}

// Writes counts statements that wrote or tried to.
func (t *tx) Writes() int { return t.writes }

// Commit makes the transaction durable.
func (t *tx) Commit() error {
	t.number = t.w.commits + 1
	if _, err := t.run("UPDATE store SET commits = ?", t.number); err != nil {
		return err
	}
	if _, err := t.run("COMMIT"); err != nil {
		return err
	}
	t.w.commits = t.number
	if err := t.w.files.inPlace(); err != nil {
		return err
	}
	if t.w.afterCommit != nil {
		return t.w.afterCommit()
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

// Rollback ends the transaction. SQLite has ended it by itself after some
// errors, and a commit that succeeded has too.
func (t *tx) Rollback() error {
	_, err := t.run("ROLLBACK")
	if err != nil && strings.Contains(err.Error(), "no transaction is active") {
		return nil
	}
	return err
}

// scanner is a row, or the error instead of one.
type scanner interface{ Scan(...any) error }

type failed struct{ err error }

func (f failed) Scan(...any) error { return f.err }

// primaryCode is SQLite's result code less its refinement; 0 if err is not SQLite's.
func primaryCode(err error) int {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Code() & 0xff
}

func isFull(err error) bool { return primaryCode(err) == sqlite3.SQLITE_FULL }

// isBusy reports whether somebody outside, a backup tool say, holds the file, or whether
// this machine has nothing left to work on it with. Either passes.
func isBusy(err error) bool {
	switch primaryCode(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOMEM:
		return true
	default:
		return isShort(err)
	}
}

// isShort reports whether SQLite failed because this machine is out of memory or
// descriptors, not because of the disk. It does not say so itself where it could not
// open a file, so another try to open one does.
func isShort(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	switch {
	case !ok:
		return false
	case e.Code() == sqlite3.SQLITE_IOERR_NOMEM, e.Code() == sqlite3.SQLITE_IOERR_SHMMAP:
		return true
	case e.Code()&0xff != sqlite3.SQLITE_CANTOPEN:
		return false
	}
	f, err := os.Open(os.DevNull)
	if err == nil {
		_ = f.Close()
	}
	return shortage.Of(err) != ""
}

// isFatal reports whether the disk, or what is on it, can't be trusted any more.
func isFatal(err error) bool {
	if _, ok := errors.AsType[misplacedError](err); ok {
		return true
	}
	if isShort(err) {
		return false
	}
	switch primaryCode(err) {
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		return true
	default:
		return false
	}
}
