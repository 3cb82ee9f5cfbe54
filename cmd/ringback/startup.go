package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/gofrs/flock"
	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback/internal/address"
	"github.com/ringback/ringback/internal/config"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/store"
)

// explainListen explains why the server cannot listen on an address: another server may
// hold both the address and the data directory.
func explainListen(err error, addr, data string) error {
	if errors.Is(err, syscall.EADDRINUSE) && inUse(data) {
		return exit.Errorf(exit.Locked, "another ringback is running on data directory %s (and something listens on %s); stop it, or give this one its own --data and --addr", data, addr)
	}
	return address.Explain(err, addr)
}

// inUse reports whether a process holds a data directory. It creates nothing.
func inUse(dir string) bool {
	file := filepath.Join(dir, "lock")
	if _, err := os.Stat(file); err != nil {
		return false // and trying would create it
	}
	lock := flock.New(file)
	held, err := lock.TryLock()
	if held {
		_ = lock.Close() // of a file that was not written to
	}
	return err == nil && !held
}

// The primary result codes of SQLite (https://sqlite.org/rescode.html) that are meaningful
// to an operator.
const (
	sqliteReadOnly = 8
	sqliteCorrupt  = 11
	sqliteFull     = 13
	sqliteCantOpen = 14
	sqliteNotADB   = 26
)

// explainStore returns why a data directory cannot be used.
func explainStore(err error, dir string) error {
	code := sqliteCode(err)
	switch {
	case errors.Is(err, store.ErrLocked):
		return exit.Errorf(exit.Locked, "data directory %s is in use by another ringback; stop that one, or give this one its own directory with --data", dir)
	case errors.Is(err, store.ErrTooNew):
		return exit.Errorf(exit.DataDir, "data directory %s was written by a newer ringback and was not changed: %w; start that version, or use another directory with --data", dir, err)
	case errors.Is(err, syscall.ENOSPC) || code == sqliteFull:
		return exit.Errorf(exit.DataDir, "the disk of data directory %s is full; free up space, or use another with --data", dir)
	case errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EEXIST):
		return exit.Errorf(exit.DataDir, "%s is not a directory; correct --data", dir)
	case errors.Is(err, syscall.EROFS) || code == sqliteReadOnly:
		return exit.Errorf(exit.DataDir, "data directory %s is read-only; make it writable for this user, or use another with --data", dir)
	case errors.Is(err, fs.ErrPermission) || code == sqliteCantOpen:
		return exit.Errorf(exit.DataDir, "data directory %s may not be read and written by this user: %w; change its owner or mode, or use another with --data", dir, err)
	case code == sqliteCorrupt || code == sqliteNotADB:
		return exit.Errorf(exit.DataDir, "data directory %s is corrupt and was not changed: %w; restore it from a backup, or move it away to start with an empty one", dir, err)
	default:
		return exit.Errorf(exit.DataDir, "data directory %s cannot be used: %w; fix it, or use another with --data", dir, err)
	}
}

// sqliteCode returns the primary result code in an error of SQLite, 0 if there is none.
func sqliteCode(err error) int {
	type coded interface {
		error
		Code() int
	}
	if e, ok := errors.AsType[coded](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

// advertised returns where other nodes reach this one's API; "" if there are none.
func advertised(c config.Config, addr net.Addr) string {
	if c.DatabaseURL == "" || c.AdvertiseURL != "" {
		return c.AdvertiseURL
	}
	a, err := netip.ParseAddrPort(addr.String())
	if err != nil || !a.Addr().IsUnspecified() {
		return address.URL(addr)
	}
	return fmt.Sprintf("http://%s", netip.AddrPortFrom(towards(c.DatabaseURL), a.Port()))
}

// towards returns this machine's address on the way to a database: other nodes reach the
// database too, and so most likely this address. It sends nothing.
func towards(database string) netip.Addr {
	here := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	db, err := pgx.ParseConfig(database)
	if err != nil {
		return here
	}
	conn, err := net.Dial("udp", net.JoinHostPort(db.Host, strconv.Itoa(int(db.Port))))
	if err != nil { // for example, a socket in the file system
		return here
	}
	defer conn.Close()
	if local, ok := conn.LocalAddr().(*net.UDPAddr); ok {
		return local.AddrPort().Addr().Unmap()
	}
	return here
}
