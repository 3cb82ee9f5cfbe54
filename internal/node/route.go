package node

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/outcome"
)

// Route sends models to a provider.
type Route struct {
	// Model is a model's name, or the beginning of names and a star: sim/*.
	Model string
	// Provider is a name in Config.Providers.
	Provider string
}

func (r Route) matches(model string) bool {
	if beginning, ok := strings.CutSuffix(r.Model, "*"); ok {
		return strings.HasPrefix(model, beginning)
	}
	return r.Model == model
}

// builtinRoutes are tried after the configuration's, in order; those to
// providers that are not set up are passed over.
var builtinRoutes = []Route{
	{"claude-*", "anthropic"},
	{"claude-*", "ezai"},
	{"gpt-*", "openai"},
	{"gpt-*", "ezai"},
	{"o*", "openai"},
	{"o*", "ezai"},
	{"sim/*", "simulated"},
}

// route finds the provider of a model. An error is the user's.
func (n *Node) route(model, wanted string) (string, error) {
	if wanted != "" {
		if _, ok := n.cfg.Providers[wanted]; !ok {
			return "", ringback.Invalid("provider", fmt.Sprintf("provider %q is not set up; set up are: %s", wanted, n.providerNames()))
		}
		return wanted, nil
	}
	for _, routes := range [][]Route{n.cfg.Routes, builtinRoutes} {
		for _, r := range routes {
			if _, ok := n.cfg.Providers[r.Provider]; ok && r.matches(model) {
				return r.Provider, nil
			}
		}
	}
	return "", ringback.Invalid("model", fmt.Sprintf("no provider is set up for model %q; set up are: %s; the provider field sends any model to one of them", model, n.routesText()))
}

func (n *Node) providerNames() string {
	if len(n.cfg.Providers) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(n.cfg.Providers)), ", ")
}

// routesText lists the providers that are set up, with the models that go to each.
func (n *Node) routesText() string {
	if len(n.cfg.Providers) == 0 {
		return "none"
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(n.cfg.Providers)) {
		var models []string
		for _, r := range slices.Concat(n.cfg.Routes, builtinRoutes) {
			if r.Provider == name {
				models = append(models, r.Model)
			}
		}
		if models != nil {
			name += " (" + strings.Join(models, ", ") + ")"
		}
		list = append(list, name)
	}
	return strings.Join(list, ", ")
}

// namedModels are the models that the configuration names, and the defaults.
func namedModels(cfg Config) map[string]bool {
	named := map[string]bool{cfg.DefaultModel: true, defaultModel: true}
	for _, r := range cfg.Routes {
		named[r.Model] = true
	}
	return named
}

// newPolicy is by what this node decides about jobs.
func (n *Node) newPolicy() outcome.Policy {
	return outcome.Policy{
		MaxUncertain: maxUncertain,
		RetryDelay:   n.cfg.RetryDelay,
		Patience:     suspectPatience,
		FaultAfter:   faultAfter,
		Route: func(model, wanted string) (name, protocol string, ok bool) {
			name, err := n.route(model, wanted)
			if err != nil {
				return "", "", false
			}
			return name, n.cfg.Providers[name].Client.Protocol(), true
		},
		Random: rand.Float64,
	}
}
