package node

import (
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/refusal"
)

// BodiesMemory is for the bodies of requests until their jobs are stored.
func (n *Node) BodiesMemory() *memory.Pool { return n.memory.Bodies }

// ReadsMemory is for what goes out to clients.
func (n *Node) ReadsMemory() *memory.Pool { return n.memory.Reads }

// NoRoomForBody returns the user's error for when BodiesMemory has no room.
func (n *Node) NoRoomForBody() error { return n.refuser.Body() }

// ReserveRead takes bytes of ReadsMemory; they must be given back by release. The
// error is the user's: unavailable.
func (n *Node) ReserveRead(bytes int64) (release func(), err error) {
	g := n.memory.Reads.Grant()
	if !g.Take(bytes) {
		return nil, refusal.Read()
	}
	return g.Release, nil
}
