package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/store"
)

// codedError is like an error of SQLite.
type codedError int

func (e codedError) Error() string { return fmt.Sprintf("sqlite says %d", int(e)) }
func (e codedError) Code() int     { return int(e) }

func TestEachTroubleOfTheDataDirectoryHasItsSentence(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		want string
	}{
		{store.ErrLocked, exit.Locked, "data directory D is in use by another ringback"},
		{store.ErrTooNew, exit.DataDir, "data directory D was written by a newer ringback"},
		{syscall.ENOSPC, exit.DataDir, "the disk of data directory D is full"},
		{codedError(sqliteFull), exit.DataDir, "the disk of data directory D is full"},
		{syscall.ENOTDIR, exit.DataDir, "D is not a directory"},
		{syscall.EROFS, exit.DataDir, "data directory D is read-only"},
		{codedError(sqliteReadOnly | 5<<8), exit.DataDir, "data directory D is read-only"}, // an extended code
		{&fs.PathError{Op: "open", Path: "D", Err: syscall.EACCES}, exit.DataDir, "data directory D may not be read and written by this user"},
		{codedError(sqliteCorrupt), exit.DataDir, "data directory D is corrupt"},
		{errors.New("something else"), exit.DataDir, "data directory D cannot be used: open D/ringback.db: something else"},
	} {
		err := explainStore(fmt.Errorf("open D/ringback.db: %w", c.err), "D")
		f, ok := errors.AsType[*exit.Error](err)
		if !ok || f.Code != c.code || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%v: got %v, want code %d and %q", c.err, err, c.code, c.want)
		}
	}
}
