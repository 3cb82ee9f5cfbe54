package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/protocol"
	"github.com/ringback/ringback/internal/provider"
)

// upstream is a provider that is set up.
type upstream struct {
	name              string
	protocol          string
	baseURL           string
	apiKey            provider.Key
	version           string // of the protocol anthropic; "" is the default
	concurrency       int
	requestsPerMinute int
	origin            string // for an error
}

// wellKnown are the providers for which a key in the environment is all it takes.
var wellKnown = []struct{ name, protocol, keyVariable, urlVariable, baseURL string }{
	{"ezai", "anthropic", "EZAI_API_KEY", "EZAI_BASE_URL", "https://ezaiapi.com"},
	{"anthropic", "anthropic", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "https://api.anthropic.com"},
	{"openai", "openai", "OPENAI_API_KEY", "OPENAI_BASE_URL", "https://api.openai.com/v1"},
}

// simulated is the provider of --simulate, once in each protocol. The first one
// gets the models sim/*.
var simulated = []struct{ name, protocol string }{
	{"simulated", "anthropic"},
	{"simulated-openai", "openai"},
}

// simulatedModel is the default model where nothing but the simulated provider
// is set up.
const simulatedModel = "sim/echo"

// upstreams gives the providers of environment and file, and the file's routes.
func (r *reader) upstreams(simulate bool) ([]upstream, []node.Route, error) {
	all, err := r.fromFile()
	if err != nil {
		return nil, nil, err
	}
	for _, w := range wellKnown {
		inFile := slices.ContainsFunc(all, func(u upstream) bool { return u.name == w.name })
		if key := r.getenv(w.keyVariable); key != "" && !inFile {
			u := upstream{name: w.name, protocol: w.protocol, baseURL: w.baseURL, apiKey: provider.Key(key), origin: w.keyVariable}
			if base := r.getenv(w.urlVariable); base != "" {
				u.baseURL, u.origin = base, w.keyVariable+" and "+w.urlVariable
			}
			all = append(all, u)
		}
	}
	names := []string{}
	for _, u := range all {
		names = append(names, u.name)
	}
	for _, s := range simulated {
		switch {
		case !simulate:
		case slices.Contains(names, s.name):
			return nil, nil, fmt.Errorf("%s: providers.%s: --simulate adds a provider with this name; rename yours", r.file.path, s.name)
		default:
			names = append(names, s.name)
		}
	}
	routes, err := r.routes(names)
	return all, routes, err
}

// errNoProvider is what serve says without any provider.
func errNoProvider() error {
	var keys []string
	for _, w := range wellKnown {
		keys = append(keys, w.keyVariable)
	}
	last := len(keys) - 1
	return exit.Errorf(exit.Usage, "no provider is set up; set %s or %s, name one under providers in the "+
		"configuration file, or start with --simulate for models that cost nothing", strings.Join(keys[:last], ", "), keys[last])
}

// fromFile reads the file's providers.
func (r *reader) fromFile() ([]upstream, error) {
	var all []upstream
	for _, e := range r.file.providers {
		u, err := r.upstream(e)
		if err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	return all, nil
}

func (r *reader) upstream(e entry) (upstream, error) {
	u := upstream{name: e.key, origin: fmt.Sprintf("%s:%d: providers.%s", r.file.path, e.line, e.key)}
	keyVariable, urlVariable := "", ""
	for _, w := range wellKnown {
		if w.name == e.key {
			u.protocol, u.baseURL, keyVariable, urlVariable = w.protocol, w.baseURL, w.keyVariable, w.urlVariable
		}
	}
	err := r.file.fields("providers."+e.key, e.value, map[string]func(string) error{
		"protocol":            func(s string) error { return setText(&u.protocol, s) },
		"base_url":            func(s string) error { return setText(&u.baseURL, s) },
		"api_key_env":         func(s string) error { return setText(&keyVariable, s) },
		"anthropic_version":   func(s string) error { return setText(&u.version, s) },
		"concurrency":         func(s string) error { return setCount(&u.concurrency, s, 100_000) },
		"requests_per_minute": func(s string) error { return setCount(&u.requestsPerMinute, s, 10_000_000) },
	})
	if err != nil {
		return u, err
	}
	if base := r.getenv(urlVariable); urlVariable != "" && base != "" {
		u.baseURL = base
	}
	switch {
	case u.protocol == "":
		return u, fmt.Errorf("%s: protocol is required: %s", u.origin, strings.Join(protocol.Names(), " or "))
	case u.baseURL == "":
		return u, fmt.Errorf("%s: base_url is required, like https://api.anthropic.com or http://127.0.0.1:11434/v1", u.origin)
	case keyVariable == "":
		return u, nil // a server that asks for none
	}
	u.apiKey = provider.Key(r.getenv(keyVariable))
	if u.apiKey == "" {
		return u, fmt.Errorf("%s: the environment variable %s, which should hold its key, is not set", u.origin, keyVariable)
	}
	return u, nil
}

// routes reads the file's routes. Each leads to a provider that is set up.
func (r *reader) routes(providers []string) ([]node.Route, error) {
	var routes []node.Route
	for i, n := range r.file.routes {
		var route node.Route
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
