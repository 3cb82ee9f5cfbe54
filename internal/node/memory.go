package node

import (
	"cmp"
	"context"
	"errors"

	"github.com/ringback/ringback/internal/memory"
)

// budgets are who may use memory for what is large. A request for which there is no
// room is refused; a claim waits; an answer that grows waits too, which holds its
// provider up.
type budgets struct {
	door, reads, answers, webhooks *memory.Budget
	// settling is held while one large answer is made into what is stored and sent of it,
	// which takes several times as much as the answer.
	settling chan struct{}
	// loading is held by each job that waits for memory for its request.
	loading chan struct{}
}

// newBudgets returns the budgets of a node that makes up to concurrency calls at once.
func newBudgets(sizes memory.Parts, concurrency int) budgets {
	usual := memory.Split(4 << 30)
	answers := memory.New(cmp.Or(sizes.Answers, usual.Answers))
	return budgets{
		settling: make(chan struct{}, 1),
		loading:  make(chan struct{}, max(1, concurrency/loadingPart)),
		door:     memory.New(cmp.Or(sizes.Door, usual.Door)),
		reads:    memory.New(cmp.Or(sizes.Reads, usual.Reads)),
		answers:  answers,
		// An answer and a webhook that are each larger than all there is for them come
		// one after the other: a small process has no room for both.
		webhooks: memory.NewBeside(answers, cmp.Or(sizes.Webhooks, usual.Webhooks)),
	}
}

// requestCost is how many bytes of memory each byte of a running job's request takes:
// the request as it was stored, and as it is sent.
const requestCost = 3

// loadingPart is the part of a node's slots in which jobs may wait for memory. Without a
// bound large jobs would hold them all, and small ones, for which there is room, would
// wait for a slot.
const loadingPart = 16

var errCrowded = errors.New("others wait for memory already")

// forRequest takes memory for what is read of a job's request. It waits for it until ctx
// ends, or fails with errCrowded where enough jobs wait already.
func (b *budgets) forRequest(ctx context.Context, g *memory.Grant) func(bytes int64) error {
	return func(bytes int64) error {
		if g.Take(bytes) {
			return nil
		}
		select {
		case b.loading <- struct{}{}:
		default:
			return errCrowded
		}
		defer func() { <-b.loading }()
		return g.Grow(ctx, bytes)
	}
}

// largeAnswer is how much memory an attempt has taken whose answer is large.
const largeAnswer = 8 << 20

// settleAlone waits until no other large answer is being settled, if one of taken bytes is.
func (b *budgets) settleAlone(taken int64) (done func()) {
	if taken < largeAnswer {
		return func() {}
	}
	b.settling <- struct{}{}
	return func() { <-b.settling }
}

// The budgets by their names in metrics.
func (b *budgets) byName() map[string]*memory.Budget {
	return map[string]*memory.Budget{"door": b.door, "reads": b.reads, "answers": b.answers, "webhooks": b.webhooks}
}

// DoorMemory is for the bodies of requests until their jobs are stored.
func (n *Node) DoorMemory() *memory.Budget { return n.memory.door }

// ReadsMemory is for what goes out to clients.
func (n *Node) ReadsMemory() *memory.Budget { return n.memory.reads }

// NoRoomForBody is the user's error where DoorMemory has no room.
func (n *Node) NoRoomForBody() error {
	return n.refuse(refusedMemory, "the server is reading as much as its memory allows; try again in a moment", 2)
}

// ReserveRead takes bytes of ReadsMemory; they must be given back by release. The
// error is the user's: unavailable.
func (n *Node) ReserveRead(bytes int64) (release func(), err error) {
	g := n.memory.reads.Grant()
	if !g.Take(bytes) {
		return nil, n.refuseRead()
	}
	return g.Release, nil
}
