package intake

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ringback/ringback"
)

// Route sends models to a provider.
type Route struct {
	// Model is a model's name, or the beginning of names and a star: sim/*.
	Model string
	// Provider is the name of one that is set up.
	Provider string
}

func (r Route) matches(model string) bool {
	if beginning, ok := strings.CutSuffix(r.Model, "*"); ok {
		return strings.HasPrefix(model, beginning)
	}
	return r.Model == model
}

// builtinRoutes are tried after those of the configuration, in order; those to providers
// that are not set up are skipped.
var builtinRoutes = []Route{
	{"claude-*", "anthropic"},
	{"claude-*", "ezai"},
	{"gpt-*", "openai"},
	{"gpt-*", "ezai"},
	{"o*", "openai"},
	{"o*", "ezai"},
	{"sim/*", "simulated"},
}

// Routes find the provider that answers a model.
type Routes struct {
	configured []Route
	protocols  map[string]string // of the providers that are set up, by name
}

// NewRoutes returns routes to the providers that are set up, whose protocols it is given by
// name. Those configured come before the built-in ones.
func NewRoutes(configured []Route, protocols map[string]string) *Routes {
	return &Routes{configured: configured, protocols: protocols}
}

// Protocol returns the protocol of a provider that is set up.
func (s *Routes) Protocol(provider string) string { return s.protocols[provider] }

// Provider returns the name of the provider that answers a model: the wanted one, unless
// that is "". An error is the user's.
func (s *Routes) Provider(model, wanted string) (string, error) {
	if wanted != "" {
		if _, ok := s.protocols[wanted]; !ok {
			return "", ringback.Invalid("provider", fmt.Sprintf("provider %q is not set up; set up are: %s", wanted, s.providerNames()))
		}
		return wanted, nil
	}
	for _, routes := range [][]Route{s.configured, builtinRoutes} {
		for _, r := range routes {
			if _, ok := s.protocols[r.Provider]; ok && r.matches(model) {
				return r.Provider, nil
			}
		}
	}
	return "", ringback.Invalid("model", fmt.Sprintf("no provider is set up for model %q; set up are: %s; the provider field sends any model to one of them", model, s.text()))
}

func (s *Routes) providerNames() string {
	if len(s.protocols) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(s.protocols)), ", ")
}

// text lists the providers that are set up, with the models that go to each.
func (s *Routes) text() string {
	if len(s.protocols) == 0 {
		return "none"
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(s.protocols)) {
		var models []string
		for _, r := range slices.Concat(s.configured, builtinRoutes) {
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
