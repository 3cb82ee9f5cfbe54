package refusal

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// JobID parses a job's id. A malformed one is the id of no job.
func JobID(id string) (uuid.UUID, error) {
	job, err := uuid.Parse(id)
	if err != nil || len(id) != 36 {
		return uuid.Nil, NoJob(id)
	}
	return job, nil
}

// NoJob returns the user's error for an id that no job has.
func NoJob(id string) error {
	return &ringback.Error{Code: ringback.NotFound, Message: fmt.Sprintf("there is no job %q", shortened(id))}
}

// NoDelivery returns the user's error for an id that no delivery has.
func NoDelivery(id string) error {
	return &ringback.Error{Code: ringback.NotFound, Message: fmt.Sprintf("there is no delivery %q", shortened(id))}
}

// shortened returns the beginning of what a caller calls an id.
func shortened(id string) string {
	if len(id) > 64 {
		id = id[:64] + "…"
	}
	return id
}

// OfJob returns the user's error for an error of the store about a job.
func OfJob(id string, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return NoJob(id)
	}
	return err
}

// Gone returns the user's error for a job whose content has been deleted, and whose row is
// kept for rows longer: it says when and why.
func Gone(id string, j store.Job, rows time.Duration) error {
	return &ringback.Error{Code: ringback.Gone, Message: fmt.Sprintf(
		"job %s ended as %s at %s; its content was deleted at %s",
		id, j.Status, j.EndedAt.Format(time.RFC3339), j.RowUntil.Add(-rows).Format(time.RFC3339))}
}
