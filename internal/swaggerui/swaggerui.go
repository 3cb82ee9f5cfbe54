// Package swaggerui is the page that shows an OpenAPI document in a browser: Swagger UI as
// its makers publish it, in vendored/ (VENDOR.md says which version), with our own page,
// script and style sheet around it.
//
// The page loads its files from docs/ and the document from openapi.json, both relative to
// its own location, and nothing else: it works without a network, and under [Policy].
package swaggerui

import _ "embed"

// Policy is the Content-Security-Policy of the page and its files.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// A File is served unchanged, with Content-Encoding gzip if it is Gzipped.
type File struct {
	ContentType string
	Bytes       []byte
	Gzipped     bool
}

// Page is the name of the page itself among the Files.
const Page = "index.html"

const (
	html = "text/html; charset=utf-8"
	js   = "text/javascript; charset=utf-8"
	css  = "text/css; charset=utf-8"
)

// Files are all files of the page, by name.
var Files = map[string]File{
	Page:                   {html, page, false},
	"page.js":              {js, script, false},
	"page.css":             {css, style, false},
	"swagger-ui-bundle.js": {js, bundle, true},
	"swagger-ui.css":       {css, bundleStyle, true},
}

var (
	//go:embed index.html
	page []byte
	//go:embed page.js
	script []byte
	//go:embed page.css
	style []byte
	//go:embed vendored/swagger-ui-bundle.js.gz
	bundle []byte
	//go:embed vendored/swagger-ui.css.gz
	bundleStyle []byte
)
