package api

import (
	"context"
	"fmt"

	"github.com/ringback/ringback/internal/memory"
)

// listMemory is what a list of the longest rows takes while it is read and encoded, in
// bytes: their length is not known before.
const listMemory = 32 << 20

// listsAtOnce returns how many lists may be made at a time within the memory for reads.
func listsAtOnce(reads *memory.Pool) int {
	const fewest, most = 2, 64
	if reads == nil { // a test's node
		return fewest
	}
	return int(min(max(fewest, reads.Size()/listMemory), most))
}

// listed wraps a handler that makes a list. It waits for its turn, and encodes its result
// before the next one's turn: many concurrent callers must not hold unlimited rows.
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
