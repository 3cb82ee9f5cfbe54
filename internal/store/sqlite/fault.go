package sqlite

import (
	"errors"
	"fmt"
	"os"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/ringback/ringback/internal/shortage"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// fault translates an error of the database into the one that callers know.
func fault(err error) error {
	switch {
	case errors.Is(err, groupcommit.ErrClosed):
		return store.ErrClosed
	case errors.Is(err, groupcommit.ErrUnknown):
		return fmt.Errorf("%w: %w", store.ErrUnknown, err)
	case isFull(err):
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	case isBusy(err):
		return fmt.Errorf("%w: %w", store.ErrBusy, err)
	default:
		return err
	}
}

// errLost is the error of a COMMIT whose answer never came; only tests cause it, since
// SQLite's answer is a return value.
var errLost = errors.New("answer to the commit was lost")

// primaryCode returns SQLite's result code without its refinement; 0 if err is not
// SQLite's.
func primaryCode(err error) int {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Code() & 0xff
}

func isFull(err error) bool { return primaryCode(err) == sqlite3.SQLITE_FULL }

// isBusy reports whether another program, such as a backup tool, holds the file, or this
// machine has no resources left to work on it. Both pass.
func isBusy(err error) bool {
	switch primaryCode(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOMEM:
		return true
	default:
		return isShort(err)
	}
}

// isShort reports whether SQLite failed because this machine is out of memory or
// descriptors, not because of the disk. SQLite does not say so if it could not open a file,
// so isShort tries to open one.
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

// isFatal reports whether the disk, or what is on it, can't be trusted anymore.
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
