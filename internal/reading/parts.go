package reading

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/longjson"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/protocol"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/store"
)

// orRefuse takes memory for a read, or refuses the read.
func orRefuse(g *memory.Grant) func(bytes int64) error { return g.OrFail(refusal.Read()) }

// parts are the large parts of jobs that are being read. All readers of one share its bytes.
type parts struct {
	mu   sync.Mutex
	open map[partKey]*openPart
}

// partKey identifies a part as it is at one point of the life of a job.
type partKey struct {
	job    uuid.UUID
	fence  int64
	status ringback.Status
	part   store.Parts
}

type openPart struct {
	ready chan struct{} // closed when what follows is there
	text  []byte
	long  map[string]longjson.Value // the members of a job that are made of it
	err   error
	held  *memory.Grant

	readers int // the lock of all parts guards it
}

var errNotRead = errors.New("the part was not read")

// openPart reads a part that is packed bytes long in the store, once for all who have it
// open. release must be called if there is no error.
func (r *Reader) openPart(ctx context.Context, j *store.Job, part store.Parts, packed int64, taking func(*memory.Grant) func(bytes int64) error) (p *openPart, release func(), err error) {
	key := partKey{j.ID, j.Fence, j.Status, part}
	p, first := r.parts.enter(key, r.cfg.Memory.Grant())
	release = sync.OnceFunc(func() { r.parts.leave(key, p) })
	if first {
		r.readPart(p, key, j.Protocol, packed, taking(p.held))
	} else {
		select {
		case <-p.ready:
		case <-ctx.Done():
			release()
			return nil, nil, context.Cause(ctx)
		}
	}
	if p.err != nil {
		release()
		return nil, nil, p.err
	}
	return p, release, nil
}

// readPart reads a part for all who wait for it.
func (r *Reader) readPart(p *openPart, key partKey, protocol string, packed int64, take func(bytes int64) error) {
	defer func() {
		if p.err != nil {
			r.parts.forget(key, p) // the next reader tries again
		}
		close(p.ready)
	}()
	p.text, p.err = store.ReadLarge(r.store, key.job, key.part, packed, take)
	p.held.Shrink(int64(len(p.text)))
	if p.err == nil {
		p.long, p.err = longMembers(key.part, protocol, p.text)
	}
}

// longMembers returns the members of a job that are made of a part of its content.
func longMembers(part store.Parts, dialect string, text []byte) (map[string]longjson.Value, error) {
	switch part {
	case store.PartRequest:
		return map[string]longjson.Value{"request": longjson.Compact(text)}, nil
	case store.PartPartial:
		return map[string]longjson.Value{"partial_result": longjson.Text(text)}, nil
	default:
		parts, err := protocol.TextParts(dialect, text)
		if err != nil {
			return nil, fmt.Errorf("read an answer: %w", err)
		}
		return map[string]longjson.Value{"result": longjson.Joined(parts), "response": longjson.Compact(text)}, nil
	}
}

// enter returns an open part, and whether its caller is the first to read it.
func (all *parts) enter(key partKey, held *memory.Grant) (p *openPart, first bool) {
	all.mu.Lock()
	defer all.mu.Unlock()
	p = all.open[key]
	if first = p == nil; first {
		if all.open == nil {
			all.open = map[partKey]*openPart{}
		}
		p = &openPart{ready: make(chan struct{}), err: errNotRead, held: held}
		all.open[key] = p
	}
	p.readers++
	return p, first
}

// forget makes the next reader of a part read it again.
func (all *parts) forget(key partKey, p *openPart) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.open[key] == p {
		delete(all.open, key)
	}
}

// leave releases the memory of a part with its last reader.
func (all *parts) leave(key partKey, p *openPart) {
	all.mu.Lock()
	p.readers--
	last := p.readers == 0
	if last && all.open[key] == p {
		delete(all.open, key)
	}
	all.mu.Unlock()
	if last {
		p.held.Release()
	}
}
