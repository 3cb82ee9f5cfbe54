package store

import (
	"context"

	"github.com/google/uuid"
)

// Blobs reads one blob, as [ContentReader] does.
type Blobs interface {
	Blob(ctx context.Context, owner uuid.UUID, part Parts) (Blob, error)
}

// ReadLarge reads a body whose stored size is packed. take reserves memory before it is
// allocated, or fails: first for what the store reads, which it holds twice, then for the
// unpacked body. ErrGone if there is no such body.
func ReadLarge(blobs Blobs, owner uuid.UUID, part Parts, packed int64, take func(bytes int64) error) ([]byte, error) {
	if err := take(2 * packed); err != nil {
		return nil, err
	}
	b, err := blobs.Blob(context.Background(), owner, part)
	switch {
	case err != nil:
		return nil, err
	case len(b.Bytes) == 0:
		return nil, ErrGone
	case !b.Zstd:
		return b.Bytes, nil
	}
	if err := take(b.Size()); err != nil {
		return nil, err
	}
	return b.Open()
}
