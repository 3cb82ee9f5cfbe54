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

// bodyRow is content to be stored, replacing what was there.
type bodyRow struct {
	owner uuid.UUID
	part  part
	store.Blob

	upload uuid.UUID // under which it was uploaded; uuid.Nil: it was not
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
	row := bodyRow{owner, p, b, t.uploaded(b)}
	if up := t.uploads; row.upload != uuid.Nil {
		t.after(func() { up.adopted[row.upload] = true })
	}
	if row.upload == uuid.Nil {
		t.bytes += len(b.Bytes)
	}
	t.writes++
	for i := range t.bodies {
		if t.bodies[i].owner == owner && t.bodies[i].part == p {
			t.bodies[i] = row
			return
		}
	}
	t.bodies = append(t.bodies, row)
}

// spillBodies turns the bodies that are to be written into statements.
func (t *tx) spillBodies() (statements []statement) {
	sent := t.bodies[:0:0]
	for _, b := range t.bodies {
		if b.upload == uuid.Nil {
			sent = append(sent, b)
		} else {
			statements = append(statements, adopt(b)...)
		}
	}
	return append(putBodies.of(sent), statements...)
}
