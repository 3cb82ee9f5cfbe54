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
	"strings"
	"syscall"

	"github.com/gofrs/flock"
	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback/internal/store"
)

// isLoopback says whether an address to listen on can be reached from this
// machine only.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// explainListen says why an address cannot be listened on.
func explainListen(err error, addr, data string) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && inUse(data):
		return fail(exitLocked, "another ringback is running on data directory %s (and something listens on %s); stop it, or give this one its own --data and --addr", data, addr)
	case errors.Is(err, syscall.EADDRINUSE):
		return fail(exitPort, "%s is in use by another program; stop that, or listen elsewhere with --addr", addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fail(exitPort, "%s is not an address of this machine; correct --addr", addr)
	case errors.Is(err, fs.ErrPermission):
		return fail(exitPort, "this user may not listen on %s; choose port 1024 or higher with --addr", addr)
	default:
		return fail(exitPort, "%s cannot be listened on: %w; correct --addr", addr, err)
	}
}

// inUse says whether a process holds a data directory. It makes nothing.
func inUse(dir string) bool {
	file := filepath.Join(dir, "lock")
	if _, err := os.Stat(file); err != nil {
		return false // and the try below would make it
	}
	lock := flock.New(file)
	held, err := lock.TryLock()
	if held {
		_ = lock.Close() // of a file that was not written to
	}
	return err == nil && !held
}

// The primary result codes of SQLite (https://sqlite.org/rescode.html) that say
// something to an operator.
const (
	sqliteReadOnly = 8
	sqliteCorrupt  = 11
	sqliteFull     = 13
	sqliteCantOpen = 14
	sqliteNotADB   = 26
)

// explainStore says why a data directory cannot be used.
func explainStore(err error, dir string) error {
	code := sqliteCode(err)
	switch {
	case errors.Is(err, store.ErrLocked):
		return fail(exitLocked, "data directory %s is in use by another ringback; stop that one, or give this one its own directory with --data", dir)
	case errors.Is(err, store.ErrTooNew):
		return fail(exitDataDir, "data directory %s was written by a newer ringback and was not changed: %w; start that version, or use another directory with --data", dir, err)
	case errors.Is(err, syscall.ENOSPC) || code == sqliteFull:
		return fail(exitDataDir, "the disk of data directory %s is full; free up space, or use another with --data", dir)
	case errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EEXIST):
		return fail(exitDataDir, "%s is not a directory; correct --data", dir)
	case errors.Is(err, syscall.EROFS) || code == sqliteReadOnly:
		return fail(exitDataDir, "data directory %s is read-only; make it writable for this user, or use another with --data", dir)
	case errors.Is(err, fs.ErrPermission) || code == sqliteCantOpen:
		return fail(exitDataDir, "data directory %s may not be read and written by this user: %w; change its owner or mode, or use another with --data", dir, err)
	case code == sqliteCorrupt || code == sqliteNotADB:
		return fail(exitDataDir, "data directory %s is corrupt and was not changed: %w; restore it from a backup, or move it away to start with an empty one", dir, err)
	default:
		return fail(exitDataDir, "data directory %s cannot be used: %w; fix it, or use another with --data", dir, err)
	}
}

// sqliteCode is the primary result code in an error of SQLite, 0 if there is none.
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

// urlOf is where a listener is reached from this machine.
func urlOf(addr net.Addr) string {
	a, err := netip.ParseAddrPort(addr.String())
	if err == nil && a.Addr().IsUnspecified() {
		return fmt.Sprintf("http://127.0.0.1:%d", a.Port())
	}
	return "http://" + addr.String()
}

// advertised is where other nodes reach this one's API; "" where there are none.
func (c config) advertised(addr net.Addr) string {
	if c.databaseURL == "" || c.advertiseURL != "" {
		return c.advertiseURL
	}
	a, err := netip.ParseAddrPort(addr.String())
	if err != nil || !a.Addr().IsUnspecified() {
		return urlOf(addr)
	}
	return fmt.Sprintf("http://%s", netip.AddrPortFrom(towards(c.databaseURL), a.Port()))
}

// towards is this machine's address on the way to a database: other nodes reach the
// database too, and so most likely this one. Nothing is sent.
func towards(database string) netip.Addr {
	here := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	db, err := pgx.ParseConfig(database)
	if err != nil {
		return here
	}
	conn, err := net.Dial("udp", net.JoinHostPort(db.Host, strconv.Itoa(int(db.Port))))
	if err != nil { // a socket in the file system, say
		return here
	}
	defer conn.Close()
	if local, ok := conn.LocalAddr().(*net.UDPAddr); ok {
		return local.AddrPort().Addr().Unmap()
	}
	return here
}
