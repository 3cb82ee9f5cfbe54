package store

import (
	"context"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
)

// DeadReader reads dead letters. No read delays a move.
type DeadReader interface {
	// DeadJobs and DeadDeliveries list dead letters, newest first, and page like List.
	// CountDead counts everything that they would list, whatever Limit is.
	DeadJobs(ctx context.Context, q DeadQuery) ([]Job, *uuid.UUID, error)
	DeadDeliveries(ctx context.Context, q DeadQuery) ([]Delivery, [][]ringback.Try, *uuid.UUID, error)
	CountDead(ctx context.Context, q DeadQuery) (int, error)
	// DeadLetters returns how many dead letters there are, from counters.
	DeadLetters(ctx context.Context) (DeadLetters, error)
}

// DeadLetters counts dead letters of all projects.
type DeadLetters struct{ Jobs, Deliveries int }

// DeadQuery selects dead letters.
type DeadQuery struct {
	Project string
	// Filter's Metadata is compared as in Query. Its Host is ignored.
	Filter ringback.DeadFilter
	// Hosts are the hosts of dead deliveries; nil for all.
	Hosts []string
	// Before continues a list: only those older than this one.
	Before *uuid.UUID
	Limit  int
}
