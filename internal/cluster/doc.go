// Package cluster keeps a node a member of the nodes that share a store.
//
// A node holds what it has claimed by one lease, which it renews on a loop of its own. If
// it can't, it claims nothing and begins nothing that it has claimed, but lets running
// calls go on: an answer that has been paid for is kept until it can be settled. A renewal
// that finds the lease taken away (swept) ends the node's session: all its calls are broken
// off, and what they would settle is refused by their fences. The node takes a new id and
// goes on in a new [Session].
//
// A node takes away the lease of another only after it has renewed its own without a gap
// for the duration of a lease. Otherwise nodes would sweep each other after an outage that
// affected all of them.
package cluster
