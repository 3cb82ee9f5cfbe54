// Package conns bounds what the connections of a server may take, above all before the
// client has presented a key: how many are open, how large the head of a request may be and
// how long it may take to arrive. It passes a head to net/http only once it is complete, so
// that half a head costs nothing but its bytes.
package conns

import "time"

const (
	// MaxHead bounds the head of a request in bytes: the request line and all headers.
	MaxHead = 16 << 10
	// MaxHeaders bounds its header lines: net/http needs about a hundred bytes for each,
	// however short.
	MaxHeaders = 100
	// HeadTimeout is the time allowed from a head's first byte to its last.
	HeadTimeout = 10 * time.Second

	// Limit bounds the connections of any server.
	Limit = 16_384
	// Cost is what a connection may take in bytes: 19 KiB while it is idle (a goroutine and
	// the buffers of net/http), the most while its head is incomplete.
	Cost = 32 << 10
	// part is the part of the memory that connections may take.
	part = 8
	// fewest are the connections of the smallest server.
	fewest = 64
)

// Most returns how many connections a server may have open that may take that many bytes of
// memory and that many descriptors; it needs own of these for itself. Zero means that a
// number is unknown.
func Most(memory, descriptors, own int64) int {
	most := int64(Limit)
	if memory > 0 {
		most = min(most, max(fewest, memory/part/Cost))
	}
	if descriptors > 0 {
		most = min(most, max(descriptors-own, descriptors/4, 1))
	}
	return int(most)
}
