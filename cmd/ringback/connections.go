package main

import (
	"io/fs"

	"github.com/ringback/ringback/internal/config"
	"github.com/ringback/ringback/internal/conns"
)

// ownDescriptors is what a server needs besides those for its clients and its provider
// calls: 256 for webhooks and as many for pushed streams, the rest for the store, logs and
// idle connections.
const ownDescriptors = 640

// connectionLimit returns how many connections of clients the server may have open.
func connectionLimit(root fs.FS, c config.Config) int {
	return conns.Most(memoryLimit(root), descriptorLimit(), ownDescriptors+int64(c.Concurrency)+int64(c.DatabaseConnections))
}
