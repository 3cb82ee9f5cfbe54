package webhook

import (
	"crypto/sha256"
	"fmt"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
)

// ID derives the id of a webhook from its job and event, so that there can't be two of
// them. It begins like the job's id, so that the webhooks of a job are neighbors in the
// store.
func ID(job uuid.UUID, event ringback.EventType) uuid.UUID {
	return derivedID(job, string(event))
}

// ElsewhereID derives the id of a webhook that is sent to another URL than the
// callback_url, so that requesting it twice makes it once.
func ElsewhereID(job uuid.UUID, event ringback.EventType, url string) uuid.UUID {
	return derivedID(job, string(event)+"\x00"+url)
}

// PushID derives the id of a message that is sent while a job runs, and not stored, from
// its place among the job's events.
func PushID(job uuid.UUID, event ringback.EventType, at ringback.EventID) uuid.UUID {
	return derivedID(job, fmt.Sprint(event, " ", at))
}

func derivedID(job uuid.UUID, name string) uuid.UUID {
	sum := sha256.Sum256(append(job[:], name...))
	id := job
	copy(id[8:], sum[:8])
	id[8] = id[8]&0x3f | 0x80 // the variant of RFC 9562; the version is the job's
	return id
}
