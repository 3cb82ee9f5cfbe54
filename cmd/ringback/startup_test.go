package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/ringback/ringback/internal/store"
)

// codedError stands for an error of SQLite.
type codedError int

func (e codedError) Error() string { return fmt.Sprintf("sqlite says %d", int(e)) }
func (e codedError) Code() int     { return int(e) }

func TestEachTroubleOfTheDataDirectoryHasItsSentence(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		want string
	}{
		{store.ErrLocked, exitLocked, "data directory D is in use by another ringback"},
		{store.ErrTooNew, exitDataDir, "data directory D was written by a newer ringback"},
		{syscall.ENOSPC, exitDataDir, "the disk of data directory D is full"},
		{codedError(sqliteFull), exitDataDir, "the disk of data directory D is full"},
		{syscall.ENOTDIR, exitDataDir, "D is not a directory"},
		{syscall.EROFS, exitDataDir, "data directory D is read-only"},
		{codedError(sqliteReadOnly | 5<<8), exitDataDir, "data directory D is read-only"}, // an extended code
		{&fs.PathError{Op: "open", Path: "D", Err: syscall.EACCES}, exitDataDir, "data directory D may not be read and written by this user"},
		{codedError(sqliteCorrupt), exitDataDir, "data directory D is corrupt"},
		{errors.New("something else"), exitDataDir, "data directory D cannot be used: open D/ringback.db: something else"},
	} {
		err := explainStore(fmt.Errorf("open D/ringback.db: %w", c.err), "D")
		f, ok := errors.AsType[*failure](err)
		if !ok || f.code != c.code || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%v: got %v, want code %d and %q", c.err, err, c.code, c.want)
		}
	}
}
