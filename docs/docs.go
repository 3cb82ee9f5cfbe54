// Package docs embeds the documents that the program itself shows: the descriptions in
// /openapi.json are written here, once.
package docs

import _ "embed"

// API is api.md, Webhooks is webhooks.md.
var (
	//go:embed api.md
	API string
	//go:embed webhooks.md
	Webhooks string
)
