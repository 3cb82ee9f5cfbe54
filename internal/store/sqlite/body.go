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

// scanBody reads one body, still packed; the zero Blob if there is none.
func scanBody(row scanner) (store.Blob, error) {
	var b store.Blob
	err := row.Scan(&b.Zstd, &b.Bytes)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return b, fmt.Errorf("read content: %w", err)
	}
	return b, nil
}

const selectBody = `SELECT zstd, bytes FROM bodies WHERE owner = ? AND part = ?`
