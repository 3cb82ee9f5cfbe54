package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Large content is not sent with the transaction that stores it: over a slow link it would
// keep every other write of the process waiting, for longer than a transaction may take. It
// is sent before, over another connection, as a body without an owner; the transaction then
// only sets its owner.
const (
	// large is the size, in bytes, from which content is uploaded.
	large = 1 << 20
	// slowestLink is the bytes per second that an upload must manage.
	slowestLink = 32 << 10
	// uploadsAtOnce is how many uploads run at once.
	uploadsAtOnce = 4
	// uploadsOf is how often one move uploads its content: what it stores may depend on the
	// row, and change with it.
	uploadsOf = 3
)

// uploads are those of one move. The zero value is a move that has uploaded nothing.
type uploads struct {
	ids     map[digest][]uuid.UUID // of uploaded content, as often as it is to be stored
	used    map[digest]int         // how many of them this run of the move has used
	adopted map[uuid.UUID]bool
}

// digest identifies the bodies of one move, which may be made anew when it runs again.
type digest struct {
	size int
	hash uint64
}

var digestSeed = maphash.MakeSeed()

func digestOf(b store.Blob) digest {
	return digest{len(b.Bytes), maphash.Bytes(digestSeed, b.Bytes)}
}

// notUploaded is the error of a move that has large content to store which has not been
// uploaded yet.
type notUploaded struct{ blobs []store.Blob }

func (e *notUploaded) Error() string {
	return fmt.Sprintf("%d bodies are not uploaded yet", len(e.blobs))
}

// wants returns an error if a move is about to store large content that has not been
// uploaded. It is called before the move's first write, so that the rest of its batch
// continues.
func (t *tx) wants(blobs ...store.Blob) error {
	if t.uploads == nil {
		return nil
	}
	var missing []store.Blob
	var wanted map[digest]int
	for _, b := range blobs {
		if len(b.Bytes) < large {
			continue
		}
		if wanted == nil {
			wanted = map[digest]int{}
		}
		d := digestOf(b)
		if wanted[d]++; wanted[d] > len(t.uploads.ids[d]) {
			missing = append(missing, b)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &notUploaded{missing}
}

// wantsOf is wants for everything that an outcome stores.
func (t *tx) wantsOf(o store.Outcome) error {
	var webhook store.Blob
	if o.Delivery != nil {
		webhook = o.Delivery.Body
	}
	return t.wants(o.Answer, o.Partial, o.Events, webhook)
}

// uploaded returns the id under which content was uploaded; uuid.Nil if it was not.
func (t *tx) uploaded(b store.Blob) uuid.UUID {
	if t.uploads == nil || len(b.Bytes) < large {
		return uuid.Nil
	}
	d := digestOf(b)
	if ids, n := t.uploads.ids[d], t.uploads.used[d]; n < len(ids) {
		t.uploads.used[d]++
		return ids[n]
	}
	return uuid.Nil
}

// adopt sets the owner of an uploaded body, replacing what was there.
func adopt(b bodyRow) []statement {
	return []statement{
		{`DELETE FROM ringback.bodies WHERE owner = $1 AND part = $2`, []any{b.owner, int16(b.part)}},
		{`DELETE FROM ringback.uploads WHERE id = $1`, []any{b.upload}},
		{`WITH b AS (UPDATE ringback.bodies SET owner = $1, part = $2 WHERE owner = $3 AND part = 0 RETURNING 1)
			SELECT ringback.matched((SELECT count(*) FROM b), 1, '` + codeNoUpload + `')`, []any{b.owner, int16(b.part), b.upload}},
	}
}

// writeLarge is write for a move that may store large content.
func (s *Store) writeLarge(ctx context.Context, w groupcommit.Write[*tx]) error {
	up := &uploads{}
	inline := false
	run := w.Run
	w.Run = func(t *tx) error {
		if !inline {
			clear(up.used)
			t.uploads = up
		}
		defer func() { t.uploads = nil }()
		return run(t)
	}
	defer s.dropUploads(up)
	for n := 0; ; n++ {
		err := s.write(ctx, w)
		missing, ok := errors.AsType[*notUploaded](err)
		switch {
		case code(err) == codeNoUpload && n < uploadsOf: // another process took it for a dead one's
			clear(up.ids)
		case !ok:
			return err
		case n == uploadsOf: // the content differs each time
			inline = true
		default:
			if err := s.upload(ctx, missing.blobs, up); err != nil {
				return fault(err)
			}
		}
	}
}

// upload sends content as bodies without an owner.
func (s *Store) upload(ctx context.Context, blobs []store.Blob, up *uploads) error {
	select {
	case s.uploading <- struct{}{}:
		defer func() { <-s.uploading }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	most := tripTimeout
	for _, b := range blobs {
		most += time.Duration(len(b.Bytes)) * time.Second / slowestLink
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	if up.ids == nil {
		up.ids, up.used, up.adopted = map[digest][]uuid.UUID{}, map[digest]int{}, map[uuid.UUID]bool{}
	}
	conn, err := s.dial.patient(ctx)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	for _, b := range blobs {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, `
			WITH u AS (INSERT INTO ringback.uploads (id) VALUES ($1))
			INSERT INTO ringback.bodies (owner, part, zstd, bytes) VALUES ($1, 0, $2, $3)`, id, b.Zstd, b.Bytes)
		if err != nil {
			return fmt.Errorf("upload %d bytes: %w", len(b.Bytes), err)
		}
		d := digestOf(b)
		up.ids[d] = append(up.ids[d], id)
	}
	return nil
}

// dropUploads deletes what a move has uploaded and not stored. Prune finds what is left.
func (s *Store) dropUploads(up *uploads) {
	var left [][16]byte
	for _, ids := range up.ids {
		for _, id := range ids {
			if !up.adopted[id] {
				left = append(left, id)
			}
		}
	}
	if len(left) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	b := &pgx.Batch{}
	b.Queue(deleteUploads, left)
	b.Queue(`DELETE FROM ringback.uploads WHERE id = ANY ($1)`, left)
	if err := s.reads.SendBatch(ctx, b).Close(); err != nil {
		s.log.Debug("content that was uploaded in vain is left for later", "err", err)
	}
}

const deleteUploads = `DELETE FROM ringback.bodies WHERE owner = ANY ($1) AND part = 0`

// pruneUploads deletes what processes that died have uploaded and not stored.
func (t *tx) pruneUploads(limit int) error {
	var over [][16]byte
	err := t.query(func(rows pgx.Rows) error {
		var id [16]byte
		err := rows.Scan(&id)
		over = append(over, id)
		return err
	}, `SELECT id FROM ringback.uploads WHERE at < clock_timestamp() - interval '1 hour' LIMIT $1 FOR UPDATE SKIP LOCKED`, limit)
	if err != nil || len(over) == 0 {
		return err
	}
	t.exec(deleteUploads, over)
	t.exec(`DELETE FROM ringback.uploads WHERE id = ANY ($1)`, over)
	return nil
}
