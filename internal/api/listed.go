package api

import (
	"context"
	"fmt"

	"github.com/ringback/ringback/internal/memory"
)

// listMemory is what a list of the longest rows takes while it is read and encoded, in
// bytes: nobody knows before how long they are.
const listMemory = 32 << 20

// listsAtOnce is how many lists are made at a time within the memory for reads.
func listsAtOnce(reads *memory.Budget) int {
	const fewest, most = 2, 64
	if reads == nil { // the node of a test
		return fewest
	}
	return int(min(max(fewest, reads.Size()/listMemory), most))
}

// listed is a handler that makes a list. It waits for its turn, and encodes what it has
// before the next one has its own: many callers at once must not hold rows without end.
func (s *Server) listed(list handler) handler {
	return func(ctx context.Context, c *call) (reply, error) {
		select {
		case s.listing <- struct{}{}:
			defer func() { <-s.listing }()
		case <-ctx.Done():
			return reply{}, context.Cause(ctx)
		}
		rep, err := list(ctx, c)
		if err != nil {
			return rep, err
		}
		text, err := encode(rep.body)
		if err != nil {
			return reply{}, fmt.Errorf("encode the list: %w", err)
		}
		rep.body, rep.raw = nil, &rawBody{contentType: "application/json", bytes: text}
		return rep, nil
	}
}
