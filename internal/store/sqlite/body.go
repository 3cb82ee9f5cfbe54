package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/groupcommit"
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

// Content is stored in pieces of so many bytes, each a row, since SQLite holds a row that
// it writes twice in memory that no pool counts. Piece n of a part is stored as the part
// plus n times nextPiece.
const (
	pieceBytes = 1 << 20
	nextPiece  = 16
)

// putBody stores content. If it replaces content, that must not have more pieces.
func putBody(t *tx, owner uuid.UUID, p part, b store.Blob) error {
	for rest := b.Bytes; ; p += nextPiece {
		piece := rest[:min(len(rest), pieceBytes)]
		if err := putPiece(t, owner, p, store.Blob{Zstd: b.Zstd, Bytes: piece}); err != nil {
			return err
		}
		if rest = rest[len(piece):]; len(rest) == 0 {
			return nil
		}
	}
}

func putPiece(t *tx, owner uuid.UUID, p part, piece store.Blob) error {
	if piece.Bytes == nil {
		piece.Bytes = []byte{}
	}
	if _, err := t.exec(`INSERT OR REPLACE INTO bodies (owner, part, zstd, bytes) VALUES (?,?,?,?)`, owner[:], int(p), piece.Zstd, piece.Bytes); err != nil {
		return fmt.Errorf("store content: %w", err)
	}
	return nil
}

// stage stores a large request ahead of its job, all but the first piece. Each piece is
// committed separately, so that no other write waits for all of them. Nothing reads them
// before the first piece is there, which [putStaged] writes in the job's transaction. If
// that fails, unstage deletes them; after a crash the next start does.
func (s *Store) stage(ctx context.Context, n *store.NewJob) (staged bool, err error) {
	rest := n.Request.Bytes
	for p := requestPart + nextPiece; len(rest) > pieceBytes; p += nextPiece {
		rest = rest[pieceBytes:]
		piece := store.Blob{Zstd: n.Request.Zstd, Bytes: rest[:min(len(rest), pieceBytes)]}
		op := groupcommit.Op{Name: "store the request of job", ID: n.Job.ID, Bytes: len(piece.Bytes)}
		if err = groupcommit.Exec(ctx, s.write, op, func(t *tx) error { return putAhead(t, n.Job.ID, p, piece) }); err != nil {
			break
		}
		staged = true
	}
	if err != nil && staged {
		s.unstage(n.Job.ID)
	}
	return staged, err
}

func putAhead(t *tx, owner uuid.UUID, p part, piece store.Blob) error {
	if _, err := t.exec(`INSERT OR IGNORE INTO staged (owner) VALUES (?)`, owner[:]); err != nil {
		return fmt.Errorf("stage content: %w", err)
	}
	return putPiece(t, owner, p, piece)
}

// putStaged is putBody for content that is staged, except for its first piece.
func putStaged(t *tx, owner uuid.UUID, p part, b store.Blob) error {
	if _, err := t.exec(`DELETE FROM staged WHERE owner = ?`, owner[:]); err != nil {
		return fmt.Errorf("store staged content: %w", err)
	}
	return putPiece(t, owner, p, store.Blob{Zstd: b.Zstd, Bytes: b.Bytes[:pieceBytes]})
}

// unstage deletes what was staged for an owner that was not stored after all.
func (s *Store) unstage(owner uuid.UUID) {
	op := groupcommit.Op{Bytes: rowBytes}
	err := groupcommit.Exec(context.Background(), s.write, op, func(t *tx) error {
		if _, err := t.exec(`DELETE FROM bodies WHERE owner IN (SELECT owner FROM staged WHERE owner = ?)`, owner[:]); err != nil {
			return err
		}
		_, err := t.exec(`DELETE FROM staged WHERE owner = ?`, owner[:])
		return err
	})
	if err != nil {
		s.log.Warn("the stored part of a request that was not accepted is deleted at the next start", "job_id", owner, "err", err)
	}
}

// unstageAll deletes what an earlier process had staged when it ended.
func unstageAll(ctx context.Context, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, `DELETE FROM bodies WHERE owner IN (SELECT owner FROM staged); DELETE FROM staged`); err != nil {
		return fmt.Errorf("delete requests that were not accepted: %w", err)
	}
	return nil
}

// replaceBody is putBody where there may be content already.
func replaceBody(t *tx, owner uuid.UUID, p part, b store.Blob) error {
	if _, err := t.exec(`DELETE FROM bodies WHERE `+furtherPieces, owner[:], int(p)); err != nil {
		return fmt.Errorf("replace content: %w", err)
	}
	return putBody(t, owner, p, b)
}

// furtherPieces selects those after the first of an owner's part.
const furtherPieces = `owner = ? AND part > ?2 AND part % 16 = ?2`

// partOf maps parts of content to those in the table of bodies.
var partOf = map[store.Parts]part{
	store.PartRequest: requestPart, store.PartAnswer: answerPart, store.PartPartial: partialPart,
	store.PartEvents: eventsPart, store.PartPayload: webhookPart,
}

// rowReader is a transaction that reads, or one that writes.
type rowReader interface {
	row(query string, args ...any) scanner
}

// readBody reads one body, still packed, if it has at most limit bytes; the zero Stored if
// there is none.
func readBody(q rowReader, owner uuid.UUID, p part, limit int64) (s store.Stored, err error) {
	err = q.row(selectBody, owner[:], int(p), limit).Scan(&s.Zstd, (*ownBytes)(&s.Bytes), &s.Packed)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return s, nil
	case err == nil:
		err = readFurther(q, owner, p, limit, &s)
	}
	if err != nil {
		return s, fmt.Errorf("read content: %w", err)
	}
	return s, nil
}

// selectBody selects the bytes of a first piece up to a limit. SQLite knows their length
// without reading them.
const selectBody = `SELECT zstd, CASE WHEN length(bytes) <= ?3 THEN bytes END, length(bytes) FROM bodies WHERE owner = ?1 AND part = ?2`

// readFurther adds the further pieces to the first, or only their length if together they
// are too long.
func readFurther(q rowReader, owner uuid.UUID, p part, limit int64, s *store.Stored) error {
	if s.Packed != pieceBytes {
		return nil // the only one
	}
	var more int64
	if err := q.row(`SELECT coalesce(sum(length(bytes)), 0) FROM bodies WHERE `+furtherPieces, owner[:], int(p)).Scan(&more); err != nil || more == 0 {
		return err
	}
	if s.Packed += more; s.Packed > limit {
		s.Bytes = nil
		return nil
	}
	s.Bytes = append(make([]byte, 0, s.Packed), s.Bytes...)
	for piece := p + nextPiece; int64(len(s.Bytes)) < s.Packed; piece += nextPiece {
		var bytes []byte
		if err := q.row(`SELECT bytes FROM bodies WHERE owner = ? AND part = ?`, owner[:], int(piece)).Scan((*ownBytes)(&bytes)); err != nil {
			return err
		}
		s.Bytes = append(s.Bytes, bytes...)
	}
	return nil
}

// ownBytes takes what the driver has read, without database/sql's copy: this driver
// allocates new bytes for each row.
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
