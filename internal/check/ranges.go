package check

import (
	"github.com/ringback/ringback/internal/protocol"
	"github.com/ringback/ringback/internal/store"
)

// A Range has the bounds of a number in a request, and its default.
type Range struct{ Least, Most, Default int }

// Ranges are those of all numbers in requests, by their names in JSON.
var Ranges = map[string]Range{
	"max_tokens":         {1, 10_000_000, protocol.DefaultMaxTokens},
	"timeout_seconds":    {1, 3600, 600},
	"max_attempts":       {1, 20, 3},
	"max_wait_seconds":   {1, 7 * 24 * 3600, 3600},
	"result_ttl_seconds": {60, 30 * 24 * 3600, 24 * 3600},
	"priority":           {0, store.MaxPriority, 0},
	"limit":              {1, 10_000, 10_000}, // of dead letters that one call handles
}
