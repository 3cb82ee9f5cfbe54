package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
)

// DeliveryReader reads deliveries. No read delays a move.
type DeliveryReader interface {
	// Delivery reads one with its tries; ErrNotFound.
	Delivery(ctx context.Context, project string, id uuid.UUID) (Delivery, []ringback.Try, error)
	// JobDeliveries lists a job's deliveries with their tries.
	JobDeliveries(ctx context.Context, project string, id uuid.UUID) ([]Delivery, [][]ringback.Try, error)
	// Deliveries lists deliveries whose bytes are kept, with their tries, in the order of
	// their jobs, newest first. It pages like List.
	Deliveries(ctx context.Context, q DeliveryQuery) ([]Delivery, [][]ringback.Try, *uuid.UUID, error)
	// Webhooks reads the last delivery of each of these jobs, in any project, if its bytes
	// are kept.
	Webhooks(ctx context.Context, jobs []uuid.UUID) (map[uuid.UUID]Delivery, error)
}

// DeliveryQuery selects deliveries for a list.
type DeliveryQuery struct {
	Project string
	Status  ringback.DeliveryStatus // "" for all
	Hosts   []string                // nil for all
	Job     uuid.UUID               // uuid.Nil for all
	// LastCode bounds the code of the last answer; nil for all.
	LastCode      *CodeRange
	CreatedAfter  time.Time
	CreatedBefore time.Time
	// Before continues a list: only those older than this one.
	Before *uuid.UUID
	Limit  int
}

// CodeRange is a range of status codes, inclusive; 0 is no answer.
type CodeRange struct{ From, To int }
