package store

import (
	"context"
	"crypto/rand"
	"time"
)

// Maintenance are the moves caused by time, and upkeep.
type Maintenance interface {
	// Expire ends at most limit waiting jobs whose EndBy is not after now.
	Expire(ctx context.Context, now time.Time, limit int, decide Decide) ([]Job, error)
	// ExpireDeliveries turns at most limit waiting deliveries that were made before the
	// given time into dead letters. A redelivery that is due is tried first, unless it too
	// has been due since before that time: then it is given up, and a delivery that had
	// ended stays as it was.
	ExpireDeliveries(ctx context.Context, before, now time.Time, limit int) ([]Delivery, error)
	// Prune deletes content, and later rows, whose time is over: at most limit jobs, in one
	// small transaction. It returns how many it changed.
	Prune(ctx context.Context, now time.Time, limit int) (int, error)
	// Reconcile compares the counters with the stored rows, fixes a difference and returns
	// it as an error.
	Reconcile(ctx context.Context) error
	// SigningKey returns SigningKeyBytes random bytes, made once: the same for all nodes
	// and after all restarts. A node signs with them what it passes to another node, or to
	// itself.
	SigningKey(ctx context.Context) ([]byte, error)
}

// SigningKeyBytes is the length of Maintenance.SigningKey.
const SigningKeyBytes = 32

// NewSigningKey returns a new key for Maintenance.SigningKey.
func NewSigningKey() []byte {
	key := make([]byte, SigningKeyBytes)
	rand.Read(key) // never fails
	return key
}
