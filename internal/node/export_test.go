package node

import "time"

// Remembered is how many attempts the node still knows: none when all are settled.
func (n *Node) Remembered() int {
	n.running.mu.Lock()
	defer n.running.mu.Unlock()
	return len(n.running.calls) + len(n.running.cancelled)
}

// MemoryUsed is how much of the memory for bodies and answers is taken, in bytes.
func (n *Node) MemoryUsed() int64 {
	n.budget.mu.Lock()
	defer n.budget.mu.Unlock()
	return n.budget.used
}

// TellRefusals tells what is over at a time.
func (n *Node) TellRefusals(now time.Time) { n.tellRefusals(now) }
