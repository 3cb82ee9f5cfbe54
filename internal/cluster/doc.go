// Package cluster keeps a node a member of the nodes that share a store.
//
// A node holds its claims under one lease, which it renews in a separate loop. If it can't,
// it claims nothing and begins nothing that it has claimed, but lets running calls
// continue: an answer that has been paid for is kept until it can be settled. A renewal
// that finds the lease taken away (swept) ends the node's session: all its calls are broken
// off, and the fences refuse what they would settle. The node takes a new id and continues
// in a new [Session].
//
// A node takes away another's lease only after it has renewed its own without a gap for the
// duration of a lease. Otherwise nodes would sweep each other after an outage that affected
// all of them.
package cluster
