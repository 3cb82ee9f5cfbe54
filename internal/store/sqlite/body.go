package sqlite

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/store"
)

// part says what a body is.
type part int

const (
	requestPart part = 1
	answerPart  part = 2
	partialPart part = 3
	webhookPart part = 4
	eventsPart  part = 5
)

// putBody stores content, replacing what was there.
func putBody(t *tx, owner uuid.UUID, p part, b store.Blob) error {
	bytes := b.Bytes
	if bytes == nil {
		bytes = []byte{}
	}
	if _, err := t.exec(`INSERT OR REPLACE INTO bodies (owner, part, zstd, bytes) VALUES (?,?,?,?)`, owner[:], int(p), b.Zstd, bytes); err != nil {
		return fmt.Errorf("store content: %w", err)
	}
	return nil
}

// partOf says what a part of content is.
var partOf = map[store.Parts]part{
	store.PartRequest: requestPart, store.PartAnswer: answerPart, store.PartPartial: partialPart,
	store.PartEvents: eventsPart, store.PartPayload: webhookPart,
}

// scanBody reads one body of selectBody, still packed; the zero Stored if there is none.
func scanBody(row scanner) (s store.Stored, err error) {
	err = row.Scan(&s.Zstd, (*ownBytes)(&s.Bytes), &s.Packed)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return s, fmt.Errorf("read content: %w", err)
	}
	return s, nil
}

// selectBody asks for the bytes of a body up to a limit. SQLite knows how long they are
// without reading them.
const selectBody = `SELECT zstd, CASE WHEN length(bytes) <= ?3 THEN bytes END, length(bytes) FROM bodies WHERE owner = ?1 AND part = ?2`

// ownBytes takes what the driver has read without the copy that database/sql would
// make of it: this driver makes new bytes for each row.
type ownBytes []byte

// Scan implements sql.Scanner.
func (b *ownBytes) Scan(from any) error {
	switch from := from.(type) {
	case nil:
		*b = nil
	case []byte:
		*b = from
	default:
		return fmt.Errorf("bytes are stored as %T", from)
	}
	return nil
}
