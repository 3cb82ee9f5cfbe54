package node

import (
	"math/rand/v2"

	"github.com/ringback/ringback/internal/dispatch"
	"github.com/ringback/ringback/internal/outcome"
)

// namedModels returns the models that the configuration names, and the defaults.
func namedModels(cfg Config) map[string]bool {
	named := map[string]bool{cfg.DefaultModel: true, defaultModel: true}
	for _, r := range cfg.Routes {
		named[r.Model] = true
	}
	return named
}

// newPolicy returns the policy by which this node decides about jobs.
func (n *Node) newPolicy() outcome.Policy {
	return outcome.Policy{
		MaxUncertain: maxUncertain,
		RetryDelay:   n.cfg.RetryDelay,
		Patience:     dispatch.SuspectPatience,
		FaultAfter:   dispatch.FaultAfter,
		Route: func(model, wanted string) (name, protocol string, ok bool) {
			name, err := n.routes.Provider(model, wanted)
			if err != nil {
				return "", "", false
			}
			return name, n.routes.Protocol(name), true
		},
		Random: rand.Float64,
	}
}
