package memory

import (
	"cmp"
	"context"
	"errors"
)

// Pools bound the memory that large things take in a node. A request without room is
// refused; a claim waits; a growing answer waits too, which slows its provider down.
type Pools struct {
	Bodies, Reads, Answers, Webhooks *Pool
	// settling is held while one large answer is turned into what is stored and sent of it,
	// which takes several times as much memory as the answer.
	settling chan struct{}
	// loading is held by each job that waits for memory for its request.
	loading chan struct{}
}

// NewPools returns the pools of a node that makes up to concurrency calls at once.
func NewPools(sizes Parts, concurrency int) Pools {
	usual := Split(4 << 30)
	answers := New(cmp.Or(sizes.Answers, usual.Answers))
	return Pools{
		settling: make(chan struct{}, 1),
		loading:  make(chan struct{}, max(1, concurrency/loadingPart)),
		Bodies:   New(cmp.Or(sizes.Bodies, usual.Bodies)),
		Reads:    New(cmp.Or(sizes.Reads, usual.Reads)),
		Answers:  answers,
		// An answer and a webhook that are each larger than their pools take turns: a
		// small process has no room for both.
		Webhooks: NewBeside(answers, cmp.Or(sizes.Webhooks, usual.Webhooks)),
	}
}

// RequestCost is how many bytes of memory each byte of a running job's request takes: the
// request in its stored form, and in the form that is sent.
const RequestCost = 3

// loadingPart is the part of a node's slots in which jobs may wait for memory. Without a
// bound large jobs would hold them all, and small ones, for which there is room, would wait
// for a slot.
const loadingPart = 16

// ErrCrowded is the error of a job whose request has no room, and may not wait for it.
var ErrCrowded = errors.New("others wait for memory already")

// ForRequest takes memory for reading a job's request. It waits for memory until ctx ends,
// or fails with ErrCrowded if enough jobs are already waiting.
func (b *Pools) ForRequest(ctx context.Context, g *Grant) func(bytes int64) error {
	return func(bytes int64) error {
		if g.Take(bytes) {
			return nil
		}
		select {
		case b.loading <- struct{}{}:
		default:
			return ErrCrowded
		}
		defer func() { <-b.loading }()
		return g.Grow(ctx, bytes)
	}
}

// largeAnswer is how much memory an attempt with a large answer has taken, at least.
const largeAnswer = 8 << 20

// SettleAlone waits until no other large answer is being settled, if this one, of taken
// bytes, is large.
func (b *Pools) SettleAlone(taken int64) (done func()) {
	if taken < largeAnswer {
		return func() {}
	}
	b.settling <- struct{}{}
	return func() { <-b.settling }
}

// ByName returns the pools by their names in metrics.
func (b *Pools) ByName() map[string]*Pool {
	return map[string]*Pool{"door": b.Bodies, "reads": b.Reads, "answers": b.Answers, "webhooks": b.Webhooks}
}
