package node

import "github.com/ringback/ringback/internal/memory"

// BodiesMemory is for the bodies of requests until their jobs are stored.
func (n *Node) BodiesMemory() *memory.Pool { return n.memory.Bodies }

// ReadsMemory is for what goes out to clients.
func (n *Node) ReadsMemory() *memory.Pool { return n.memory.Reads }

// NoRoomForBody returns the user's error for when BodiesMemory has no room.
func (n *Node) NoRoomForBody() error { return n.refuser.Body() }
