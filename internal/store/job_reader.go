package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
)

// JobReader reads jobs. No read delays a move.
type JobReader interface {
	// Job reads a job with the given parts of its content. ErrNotFound. If the content has
	// been deleted, it returns the job and ErrGone.
	Job(ctx context.Context, project string, id uuid.UUID, parts Parts) (Job, Content, error)
	// ByIdempotencyKey finds the job with an idempotency key; ErrNotFound.
	ByIdempotencyKey(ctx context.Context, project, key string) (Job, error)
	// List lists jobs, newest first. It may return fewer than Limit and still a cursor: it
	// bounds what it reads, not what it finds.
	List(ctx context.Context, q Query) ([]Job, *uuid.UUID, error)
	// Attempts lists a job's ledger, oldest first, the running attempt last.
	Attempts(ctx context.Context, project string, id uuid.UUID, after int64, limit int) ([]ringback.Attempt, error)
	// Ended returns those of these jobs, in any project, that have ended or are gone.
	Ended(ctx context.Context, ids []uuid.UUID) ([]uuid.UUID, error)
	// Begun returns those of these jobs, in any project, that are no longer waiting: they
	// are running, have ended or are gone.
	Begun(ctx context.Context, ids []uuid.UUID) ([]uuid.UUID, error)
}

// Query selects jobs for a list.
type Query struct {
	Project string
	Status  ringback.Status // "" for all
	Model   string          // the requested one or the answer's; "" for all
	// Webhook is the state of the last delivery whose bytes are kept, or
	// ringback.NoDelivery; "" for all.
	Webhook       ringback.DeliveryStatus
	CreatedAfter  time.Time
	CreatedBefore time.Time
	// Metadata maps keys to values, compared as text.
	Metadata map[string]string
	// Before continues a list: only jobs older than this one.
	Before *uuid.UUID
	Limit  int
}
