package node

import (
	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/check"
	"github.com/ringback/ringback/internal/provider"
)

// ProviderHeaders are the names of the headers that a request may pass on to its
// provider, in lower case.
func (n *Node) ProviderHeaders() []string { return n.cfg.ProviderHeaders }

// providerHeaders checks what a request passes on to its provider.
func (n *Node) providerHeaders(c *check.Checks, r ringback.Request) map[string]string {
	headers, err := provider.CheckHeaders(r.ProviderHeaders, n.cfg.ProviderHeaders)
	if err != nil {
		field := "provider_headers." + err.Name
		c.Fault(field, field+" "+err.Error())
	}
	return headers
}
