package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/intake"
	"github.com/ringback/ringback/internal/protocol"
	"github.com/ringback/ringback/internal/provider"
)

// Upstream is a provider that is set up.
type Upstream struct {
	Name              string
	Protocol          string
	BaseURL           string
	APIKey            provider.Key
	Version           string // of the protocol anthropic; "" is the default
	Concurrency       int
	RequestsPerMinute int
	Origin            string // for an error
}

// WellKnown are the providers that need only a key in the environment.
var WellKnown = []struct{ Name, Protocol, KeyVariable, URLVariable, BaseURL string }{
	{"ezai", "anthropic", "EZAI_API_KEY", "EZAI_BASE_URL", "https://ezaiapi.com"},
	{"anthropic", "anthropic", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "https://api.anthropic.com"},
	{"openai", "openai", "OPENAI_API_KEY", "OPENAI_BASE_URL", "https://api.openai.com/v1"},
}

// KeyVariable returns the environment variable that has the key of a well-known provider. It
// returns "" for any other provider.
func KeyVariable(provider string) string {
	for _, w := range WellKnown {
		if w.Name == provider {
			return w.KeyVariable
		}
	}
	return ""
}

// Simulated is the provider of --simulate, once in each protocol. The first one
// gets the models sim/*.
var Simulated = []struct{ Name, Protocol string }{
	{"simulated", "anthropic"},
	{"simulated-openai", "openai"},
}

// SimulatedModel is the default model if the simulated provider is the only one.
const SimulatedModel = "sim/echo"

// upstreams returns the providers of the environment and the file, and the file's routes.
func (r *reader) upstreams(simulate bool) ([]Upstream, []intake.Route, error) {
	all, err := r.fromFile()
	if err != nil {
		return nil, nil, err
	}
	for _, w := range WellKnown {
		inFile := slices.ContainsFunc(all, func(u Upstream) bool { return u.Name == w.Name })
		if key := r.getenv(w.KeyVariable); key != "" && !inFile {
			u := Upstream{Name: w.Name, Protocol: w.Protocol, BaseURL: w.BaseURL, APIKey: provider.Key(key), Origin: w.KeyVariable}
			if base := r.getenv(w.URLVariable); base != "" {
				u.BaseURL, u.Origin = base, w.KeyVariable+" and "+w.URLVariable
			}
			all = append(all, u)
		}
	}
	names := []string{}
	for _, u := range all {
		names = append(names, u.Name)
	}
	for _, s := range Simulated {
		switch {
		case !simulate:
		case slices.Contains(names, s.Name):
			return nil, nil, fmt.Errorf("%s: providers.%s: --simulate adds a provider with this name; rename yours", r.file.path, s.Name)
		default:
			names = append(names, s.Name)
		}
	}
	routes, err := r.routes(names)
	return all, routes, err
}

// NoProvider returns the error of a server without any provider.
func NoProvider() error {
	var keys []string
	for _, w := range WellKnown {
		keys = append(keys, w.KeyVariable)
	}
	last := len(keys) - 1
	return exit.Errorf(exit.Usage, "no provider is set up; set %s or %s, name one under providers in the "+
		"configuration file, or start with --simulate for models that cost nothing", strings.Join(keys[:last], ", "), keys[last])
}

// fromFile reads the file's providers.
func (r *reader) fromFile() ([]Upstream, error) {
	var all []Upstream
	for _, e := range r.file.providers {
		u, err := r.upstream(e)
		if err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	return all, nil
}

func (r *reader) upstream(e entry) (Upstream, error) {
	u := Upstream{Name: e.key, Origin: fmt.Sprintf("%s:%d: providers.%s", r.file.path, e.line, e.key)}
	keyVariable, urlVariable := "", ""
	for _, w := range WellKnown {
		if w.Name == e.key {
			u.Protocol, u.BaseURL, keyVariable, urlVariable = w.Protocol, w.BaseURL, w.KeyVariable, w.URLVariable
		}
	}
	err := r.file.fields("providers."+e.key, e.value, map[string]func(string) error{
		"protocol":            func(s string) error { return setText(&u.Protocol, s) },
		"base_url":            func(s string) error { return setText(&u.BaseURL, s) },
		"api_key_env":         func(s string) error { return setText(&keyVariable, s) },
		"anthropic_version":   func(s string) error { return setText(&u.Version, s) },
		"concurrency":         func(s string) error { return setCount(&u.Concurrency, s, 100_000) },
		"requests_per_minute": func(s string) error { return setCount(&u.RequestsPerMinute, s, 10_000_000) },
	})
	if err != nil {
		return u, err
	}
	if base := r.getenv(urlVariable); urlVariable != "" && base != "" {
		u.BaseURL = base
	}
	switch {
	case u.Protocol == "":
		return u, fmt.Errorf("%s: protocol is required: %s", u.Origin, strings.Join(protocol.Names(), " or "))
	case u.BaseURL == "":
		return u, fmt.Errorf("%s: base_url is required, like https://api.anthropic.com or http://127.0.0.1:11434/v1", u.Origin)
	case keyVariable == "":
		return u, nil // this server needs no key
	}
	u.APIKey = provider.Key(r.getenv(keyVariable))
	if u.APIKey == "" {
		return u, fmt.Errorf("%s: the environment variable %s, which should hold its key, is not set", u.Origin, keyVariable)
	}
	return u, nil
}

// routes reads the file's routes. Each leads to a provider that is set up.
func (r *reader) routes(providers []string) ([]intake.Route, error) {
	var routes []intake.Route
	for i, n := range r.file.routes {
		var route intake.Route
		of := fmt.Sprintf("routes[%d]", i)
		err := r.file.fields(of, n, map[string]func(string) error{
			"model":    func(s string) error { return setModel(&route.Model, s) },
			"provider": func(s string) error { return setText(&route.Provider, s) },
		})
		switch {
		case err != nil:
			return nil, err
		case route.Model == "" || route.Provider == "":
			return nil, r.file.at(line(n), "%s: needs a model and a provider, like {model: \"claude-*\", provider: ezai}", of)
		case !slices.Contains(providers, route.Provider):
			return nil, r.file.at(line(n), "%s: provider %q is not set up; set up are: %s", of, route.Provider, strings.Join(providers, ", "))
		}
		routes = append(routes, route)
	}
	return routes, nil
}

func setModel(to *string, s string) error {
	if i := strings.Index(s, "*"); i >= 0 && i != len(s)-1 {
		return errors.New("may have a star only at its end, as in claude-*")
	}
	return setText(to, s)
}

// fields reads a mapping whose keys are known.
func (d *document) fields(of string, n ast.Node, known map[string]func(string) error) error {
	entries, err := d.entries(of, n)
	if err != nil {
		return err
	}
	for _, e := range entries {
		set, ok := known[e.key]
		if !ok {
			return d.at(e.line, "%s: there is no key %q; there are %s", of, e.key, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		text, err := d.scalar(e)
		if err == nil {
			err = set(text)
			if err != nil {
				err = d.at(e.line, "%s.%s: %w", of, e.key, err)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
