package ringback

// Node is a running server, one of those that share a store.
type Node struct {
	// ID is new at each start, and after the node has lost its lease.
	ID string `json:"id"`
	// Machine is its name in the network.
	Machine string `json:"machine"`
	Version string `json:"version"`
	// URL is where other nodes reach it; "" where there are none, or they can't reach it.
	URL string `json:"url,omitempty"`
	// Roles are "api", for a node that takes requests, and "worker", for one that calls
	// providers and sends webhooks.
	Roles    []string `json:"roles"`
	JoinedAt Time     `json:"joined_at"`
	// ExpiresAt is when its lease runs out unless renewed; zero where the lease lasts as
	// long as the process.
	ExpiresAt Time `json:"expires_at"`
	// Self marks the node that replies.
	Self bool `json:"self"`
}
