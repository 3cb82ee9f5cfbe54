package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/address"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/node"
)

// config is all that the operator said, or the default where nothing was said.
type config struct {
	addr string
	data string
	// databaseURL is that of PostgreSQL; "": jobs are kept in data.
	databaseURL         string
	databaseDirectURL   string
	databaseConnections int
	roles               node.Roles

	publicURL     string            // without a slash at its end, as url
	advertiseURL  string            // as publicURL; "" leaves it to advertised
	url           string            // of the server that a command talks to
	apiKey        string            // "": none
	secrets       []ringback.Secret // the newest first
	defaultModel  string
	allowCallback []netip.Prefix
	allowOrigins  []string
	allowHeaders  []string // that requests may pass on, beside the usual ones
	concurrency   int
	maxQueued     int
	drainTimeout  time.Duration
	simulate      bool
	insecure      bool
	logLevel      slog.Level
	providers     []upstream
	routes        []node.Route
	traces        bool
	unknown       []string // variables that look like ours, and are not
}

// reader reads the settings of a command. Three layers, the first that says
// something wins: flags, environment, file; behind them the defaults.
type reader struct {
	flags   *pflag.FlagSet
	environ []string
	places  []string // where a file is looked for if none is named
	file    document // the zero document if there is no file
	k       *koanf.Koanf
}

// load reads the configuration. An error is a *failure and names the flag, the
// variable or the file and line at fault, and what would be right.
func load(flags *pflag.FlagSet, environ []string) (config, error) {
	r := &reader{flags: flags, environ: environ, k: koanf.New(".")}
	c, err := r.read()
	if err != nil {
		return c, exit.Errorf(exit.Usage, "%w", err)
	}
	return c, nil
}

// loadOnly reads some settings, by their keys, and lets the others say what they like.
func loadOnly(flags *pflag.FlagSet, environ []string, keys ...string) (config, error) {
	r := &reader{flags: flags, environ: environ, k: koanf.New(".")}
	var c config
	err := r.layers()
	if err == nil {
		err = r.take(&c, func(s setting) bool { return slices.Contains(keys, s.key) })
	}
	if err != nil {
		return c, exit.Errorf(exit.Usage, "%w", err)
	}
	return c, nil
}

func (r *reader) read() (config, error) {
	var c config
	if err := r.layers(); err != nil {
		return c, err
	}
	if err := r.take(&c, func(s setting) bool { return !s.remote }); err != nil {
		return c, err
	}
	if err := r.checkExposure(c); err != nil {
		return c, err
	}
	if err := r.checkCluster(c); err != nil {
		return c, err
	}
	c.unknown = r.unknown()
	var err error
	if c.traces, err = tracesWanted(r.getenv); err != nil {
		return c, err
	}
	c.providers, c.routes, err = r.upstreams(c.simulate)
	return c, err
}

// take reads the settings that are wanted.
func (r *reader) take(c *config, wanted func(setting) bool) error {
	for _, s := range settings {
		values := texts(r.k.Get(s.name()))
		if values == nil || s.key == "" || !wanted(s) {
			continue
		}
		if err := s.set(c, values); err != nil {
			return fmt.Errorf("%s: %w", r.origin(s), err)
		}
	}
	return nil
}

// layers reads all sources, the weakest first.
func (r *reader) layers() error {
	defaults := map[string]any{}
	for _, s := range settings {
		if s.def != "" {
			defaults[s.name()] = s.def
		}
	}
	if err := r.k.Load(confmap.Provider(defaults, ""), nil); err != nil {
		return fmt.Errorf("defaults: %w", err)
	}
	if path := r.configFile(); path != "" {
		if err := r.loadFile(path); err != nil {
			return err
		}
	}
	if err := r.k.Load(env.Provider("", env.Opt{EnvironFunc: r.variables, TransformFunc: keyOfVariable}), nil); err != nil {
		return fmt.Errorf("environment: %w", err)
	}
	if err := r.k.Load(posflag.ProviderWithFlag(r.flags, "", r.k, r.keyOfFlag), nil); err != nil {
		return fmt.Errorf("flags: %w", err)
	}
	return nil
}

func (r *reader) configFile() string {
	if f := r.flags.Lookup("config"); f != nil && f.Changed {
		return f.Value.String()
	}
	if named := r.getenv("RINGBACK_CONFIG"); named != "" {
		return named
	}
	for _, place := range r.places {
		if info, err := os.Stat(place); err == nil && info.Mode().IsRegular() {
			return place
		}
	}
	return ""
}

func (r *reader) loadFile(path string) error {
	r.file.path = path
	err := r.k.Load(file.Provider(path), &r.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the configuration file %s does not exist; correct --config or RINGBACK_CONFIG", path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the configuration file %s may not be read by this user", path)
	default:
		return err
	}
}

// unknown are the variables with our prefix that no setting has: a slip of the
// pen, perhaps, so they are told; or another program's, so they are no error.
func (r *reader) unknown() []string {
	var unknown []string
	for _, v := range r.variables() {
		name, _, _ := strings.Cut(v, "=")
		known := slices.ContainsFunc(settings, func(s setting) bool { return s.variable == name })
		if strings.HasPrefix(name, "RINGBACK_") && !known {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

// variables is the environment without what is empty: a variable that was set to
// nothing says nothing.
func (r *reader) variables() []string {
	return slices.DeleteFunc(slices.Clone(r.environ), func(v string) bool {
		_, value, _ := strings.Cut(v, "=")
		return value == ""
	})
}

func (r *reader) getenv(name string) string {
	for _, v := range r.environ {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// name is the key under which the layers hold a setting.
func (s setting) name() string { return cmp.Or(s.key, s.flag) }

func keyOfVariable(variable, value string) (string, any) {
	for _, s := range settings {
		if s.variable == variable {
			return s.name(), value
		}
	}
	return "", nil
}

func (r *reader) keyOfFlag(f *pflag.Flag) (string, any) {
	for _, s := range settings {
		if s.flag == f.Name && f.Changed {
			return s.name(), posflag.FlagVal(r.flags, f)
		}
	}
	return "", nil
}

// texts is a value of any layer as text, nil if there is none.
func texts(value any) []string {
	switch v := value.(type) {
	case nil:
		return nil
	case string:
		return []string{v}
	case []string:
		return v
	default:
		return []string{fmt.Sprint(v)}
	}
}

// origin names where a setting's value comes from.
func (r *reader) origin(s setting) string {
	if f := r.flags.Lookup(s.flag); f != nil && f.Changed {
		return "--" + s.flag
	}
	if r.getenv(s.variable) != "" {
		return s.variable
	}
	return r.file.where(s.key)
}

// checkCluster refuses what makes no sense, or would go wrong, with or without a
// database that is shared.
func (r *reader) checkCluster(c config) error {
	switch {
	case c.databaseURL == "" && c.roles != node.API|node.Worker:
		return fmt.Errorf("%s: a node with a single role needs other nodes and a shared database; set --database-url, or leave this out", r.originOf("roles"))
	case c.databaseURL == "" && c.databaseDirectURL != "":
		return fmt.Errorf("%s: it requires --database-url, which is not set", r.originOf("database_direct_url"))
	case c.databaseURL == "" && c.advertiseURL != "":
		return fmt.Errorf("%s: it requires --database-url, which is not set; --public-url is where clients reach the server", r.originOf("advertise_url"))
	case c.databaseURL != "" && len(c.secrets) == 0:
		return errors.New("WEBHOOK_SECRET is not set: all nodes that share a database need the same one; whsec_$(openssl rand -base64 32) makes one")
	}
	return nil
}

// originOf is origin by a setting's key.
func (r *reader) originOf(key string) string {
	i := slices.IndexFunc(settings, func(s setting) bool { return s.key == key })
	return r.origin(settings[i])
}

// checkExposure refuses to serve strangers without a key, unless that is said.
func (r *reader) checkExposure(c config) error {
	if c.apiKey != "" || c.insecure {
		return nil
	}
	if slices.Contains(c.allowOrigins, "*") {
		return fmt.Errorf("%s: any web page could call this server, and no API key is set; set RINGBACK_API_KEY, "+
			"or list the allowed origins, or use --insecure if any page may spend your money", r.originOf("allow_origin"))
	}
	if address.IsLoopback(c.addr) {
		return nil
	}
	return fmt.Errorf("%s: other machines can reach %s, and no API key is set; set RINGBACK_API_KEY, "+
		"or listen on 127.0.0.1, or use --insecure if anyone who can reach it may spend your money", r.originOf("addr"), c.addr)
}
