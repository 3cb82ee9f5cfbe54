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
	codeMoved    = "RB001" // a row is not as the writer knew it
	codeNoCommit = "RB002" // the writer is gone, or has fenced off this commit
	codeNoLease  = "RB003"
	codeNoUpload = "RB004" // content that was uploaded is no longer there
)

// PostgreSQL's own, for statements that waited for too long.
const (
	codeLocked   = "55P03" // lock_not_available: lock_timeout
	codeCanceled = "57014" // query_canceled: statement_timeout
)

// isBlocked reports whether a transaction failed because others hold what it needs, or the
// server is too slow for it now.
func isBlocked(err error) bool {
	c := code(err)
	return c == codeLocked || c == codeCanceled
}

// readOnly is read_only_sql_transaction: there was a failover, and we are connected to the
// old server.
const readOnly = "25006"

// code returns PostgreSQL's SQLSTATE of an error; "" if it did not come from there.
func code(err error) string {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return ""
	}
	return e.Code
}

// fault translates an error of the database into the one that callers know.
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

// known reports whether an error has already been translated.
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

// cannotServe reports whether the server can't do now what it could do another time: it is
// stopping, starting, a replica, short of connections or memory, or was interrupted by a
// timeout.
func cannotServe(code string) bool {
	switch code {
	case readOnly,
		codeCanceled,
		"40001", "40P01", // serialization_failure, deadlock_detected, again and again
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

// isTransient reports whether a batch that ended with this error is worth a second run at
// once: with fresh rows, or now that the obstacle is gone.
func isTransient(err error) bool {
	switch code(err) {
	case codeMoved, codeNoCommit,
		"23505",          // unique_violation: a job or a key that already exists
		"40001", "40P01": // serialization_failure, deadlock_detected
		return true
	default:
		return false
	}
}

// lostError is an error of a commit that leaves its outcome unknown.
type lostError struct{ error }

func (e lostError) Unwrap() error { return e.error }

func isLost(err error) bool { return errors.As(err, new(lostError)) }

// endOfCommit classifies the error of a commit. A commit that the server refused did not
// happen, unless the server was about to go away.
func endOfCommit(err error) error {
	var e *pgconn.PgError
	if err == nil || errors.As(err, &e) && e.Severity != "FATAL" && e.Severity != "PANIC" {
		return err
	}
	return lostError{err}
}
