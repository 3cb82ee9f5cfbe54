package store

import (
	"context"
	"time"
)

// Holds are stored so that they survive a restart and all nodes know of them. They are
// hints: what a node has in memory decides.
type Holds interface {
	// PutHold stores a hold, replacing the one of the same target.
	PutHold(ctx context.Context, h Hold) error
	// DropHold deletes a target's hold, if there is one.
	DropHold(ctx context.Context, t Target) error
	// Holds lists all stored holds.
	Holds(ctx context.Context) ([]Hold, error)
}

// Target is what a hold is about: a model of a provider or, where Model is "",
// the provider's key.
type Target struct{ Provider, Model string }

// Hold is a time before which a target is not called.
type Hold struct {
	Target

	Until  time.Time
	Reason string
	// Key is a hash of the key that a key's hold is about: another key is not held.
	Key string
	// Cause is what the node noted about the call that caused it.
	Cause string
}
