// Package docs carries those documents into the program that it shows itself:
// what /openapi.json says of the API in words is said here, once.
package docs

import _ "embed"

// API is api.md, Webhooks is webhooks.md.
var (
	//go:embed api.md
	API string
	//go:embed webhooks.md
	Webhooks string
)
