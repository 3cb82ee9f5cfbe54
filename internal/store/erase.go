package store

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Erasure deletes content before its time, on request.
type Erasure interface {
	// Erase deletes the content of a job that has ended, with everything that its caller,
	// provider and receiver sent. A delivery that was not delivered dies as erased; a try
	// in flight is fenced off. It succeeds if the content is already gone. ErrNotFound;
	// ErrLive.
	Erase(ctx context.Context, project string, id uuid.UUID, now time.Time) error

	// EraseDelivery deletes the bytes of a dead delivery, and with them a redelivery that
	// is due; its row stays unchanged. It succeeds if the bytes are already gone.
	// ErrNotFound; ErrNotDead; ErrInFlight.
	EraseDelivery(ctx context.Context, project string, id uuid.UUID) error
}
