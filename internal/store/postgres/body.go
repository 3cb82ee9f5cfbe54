package postgres

import (
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

// bodyRow is content that is to be stored, in the place of what was there.
type bodyRow struct {
	owner uuid.UUID
	part  part
	store.Blob
}

var putBodies = insertInto("bodies", "ON CONFLICT (owner, part) DO UPDATE SET zstd = excluded.zstd, bytes = excluded.bytes",
	id("owner", func(b *bodyRow) uuid.UUID { return b.owner }),
	smallint("part", func(b *bodyRow) int { return int(b.part) }),
	boolean("zstd", func(b *bodyRow) bool { return b.Zstd }),
	binary("bytes", func(b *bodyRow) []byte { return b.Bytes }),
)

// putBody stores content.
func (t *tx) putBody(owner uuid.UUID, p part, b store.Blob) {
	if b.Bytes == nil {
		b.Bytes = []byte{}
	}
	t.writes++
	for i := range t.bodies {
		if t.bodies[i].owner == owner && t.bodies[i].part == p {
			t.bodies[i].Blob = b
			return
		}
	}
	t.bodies = append(t.bodies, bodyRow{owner, p, b})
}
