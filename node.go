package ringback

// Node is a running server, one of those that share a store.
type Node struct {
	// ID is new at each start, and after the node has lost its lease.
	ID string `json:"id"`
	// Machine is its name in the network.
	Machine string `json:"machine"`
	Version string `json:"version"`
	// URL is where other nodes reach it; "" where there are none, or they can't.
	URL string `json:"url,omitempty"`
	// Roles are "api", for one that takes requests, and "worker", for one that calls
	// providers and sends webhooks.
	Roles    []string `json:"roles"`
	JoinedAt Time     `json:"joined_at"`
	// ExpiresAt is when its lease runs out, unless it renews it; zero where that lasts
	// as long as the process.
	ExpiresAt Time `json:"expires_at"`
	// Self marks the node that answers.
	Self bool `json:"self"`
}
