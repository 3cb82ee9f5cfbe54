package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ringback/ringback/internal/store"
)

// The states in which our own functions end a transaction.
const (
	codeMoved    = "RB001" // a row is not as the writer saw it
	codeNoCommit = "RB002" // the writer is gone, or has fenced this commit off
	codeNoLease  = "RB003"
	codeNoUpload = "RB004" // content that was uploaded is not there any more
)

// PostgreSQL's own, of statements that waited for too long.
const (
	codeLocked   = "55P03" // lock_not_available: lock_timeout
	codeCanceled = "57014" // query_canceled: statement_timeout
)

// isBlocked reports whether a transaction failed since others hold what it needs, or the
// server is too slow for it now.
func isBlocked(err error) bool {
	c := code(err)
	return c == codeLocked || c == codeCanceled
}

// readOnly is read_only_sql_transaction: a failover, and we are at the old server.
const readOnly = "25006"

// code is PostgreSQL's SQLSTATE of an error; "" if it did not come from there.
func code(err error) string {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return ""
	}
	return e.Code
}

// fault gives an error of the database the name under which callers know it.
func fault(err error) error {
	switch c := code(err); {
	case err == nil, known(err):
		return err
	case c == codeNoLease:
		return fmt.Errorf("%w: %w", store.ErrNoLease, err)
	case c == codeLocked:
		return fmt.Errorf("%w: %w", store.ErrBusy, err)
	case c == "53100": // disk_full
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	case cannotServe(c), c == "" && isBroken(err):
		return unavailable(err)
	default:
		return err
	}
}

// known reports whether an error has its name already.
func known(err error) bool {
	for _, name := range []error{store.ErrUnavailable, store.ErrNoLease, store.ErrSwept, store.ErrFull, store.ErrBusy, store.ErrTooNew} {
		if errors.Is(err, name) {
			return true
		}
	}
	return false
}

func unavailable(err error) error {
	if err == nil || errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// cannotServe reports whether the server says that it can't do now what it could
// do another time: it stops, starts, is a replica, has no connections or memory
// to spare, or was interrupted by a timeout.
func cannotServe(code string) bool {
	switch code {
	case readOnly,
		codeCanceled,
		"40001", "40P01", // serialization_failure, deadlock_detected, time and again
		"25P03", "57P05": // idle timeouts
		return true
	}
	for _, class := range []string{"08", "53", "57P0"} {
		if strings.HasPrefix(code, class) {
			return true
		}
	}
	return false
}

// isBroken reports whether an error that is not the server's is the connection's.
func isBroken(err error) bool {
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) || errors.Is(err, pgconn.ErrConnClosed) || pgconn.Timeout(err) || errors.Is(err, context.DeadlineExceeded) || isNet(err)
}

// isTransient reports whether a batch that ended so is worth a second run at once:
// with a fresh look at the rows, or now that those who stood in the way are gone.
func isTransient(err error) bool {
	switch code(err) {
	case codeMoved, codeNoCommit,
		"23505",          // unique_violation: a job or a key that is there already
		"40001", "40P01": // serialization_failure, deadlock_detected
		return true
	default:
		return false
	}
}

// lostError is an error of a commit that leaves its outcome open.
type lostError struct{ error }

func (e lostError) Unwrap() error { return e.error }

func isLost(err error) bool { return errors.As(err, new(lostError)) }

// endOfCommit judges the error of a commit. What the server refused did not
// happen, unless it was about to go away.
func endOfCommit(err error) error {
	var e *pgconn.PgError
	if err == nil || errors.As(err, &e) && e.Severity != "FATAL" && e.Severity != "PANIC" {
		return err
	}
	return lostError{err}
}
