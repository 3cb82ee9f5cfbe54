package store

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Erasure deletes content before its time, because somebody asked for it.
type Erasure interface {
	// Erase deletes the content of a job that has ended, with everything its
	// caller, provider and receiver sent. A delivery of it that was not delivered
	// dies as erased; a try in flight is fenced off. If it is gone already, that is
	// success. ErrNotFound; ErrLive.
	Erase(ctx context.Context, project string, id uuid.UUID, now time.Time) error

	// EraseDelivery deletes the bytes of a dead delivery, and with them a
	// redelivery that is due; its row stays as it is. If they are gone already, that is
	// success. ErrNotFound; ErrNotDead; ErrInFlight.
	EraseDelivery(ctx context.Context, project string, id uuid.UUID) error
}
