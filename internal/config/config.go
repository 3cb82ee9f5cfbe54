// Package config reads the settings of all commands: from flags, then the environment, then
// the configuration file, then the defaults.
//
//	settings.go   the one table of settings: flag, variable, key, default, help
//	config.go     reads them for the server and its own commands
//	remote.go     reads them for commands that talk to a server
//	file.go       the file: YAML, with the line of each key
//	providers.go  the providers that are set up
//	traces.go     whether OpenTelemetry's variables ask for traces
package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"net/url"
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
	"github.com/ringback/ringback/internal/intake"
	"github.com/ringback/ringback/internal/node"
)

// Config has what the operator set, and the defaults of the rest.
type Config struct {
	Addr string
	Data string
	// DatabaseURL is the URL of PostgreSQL; "": jobs are kept in Data.
	DatabaseURL         string
	DatabaseDirectURL   string
	DatabaseConnections int
	Roles               node.Roles

	PublicURL     string            // without a slash at its end
	AdvertiseURL  string            // without a slash at its end; "": the server finds it out
	URL           string            // of the server that a command talks to; without a slash at its end
	APIKey        string            // "": none
	Secrets       []ringback.Secret // the newest first
	DefaultModel  string
	AllowCallback []netip.Prefix
	AllowOrigins  []string
	AllowHeaders  []string // headers that requests may pass on in addition to the usual ones
	Concurrency   int
	MaxQueued     int
	DrainTimeout  time.Duration
	Simulate      bool
	Insecure      bool
	LogLevel      slog.Level
	Providers     []Upstream
	Routes        []intake.Route
	Traces        bool
	Unknown       []string // variables with our prefix that are no setting
}

// reader reads the settings of a command. The first layer that has a value wins: flags, then
// the environment, then the file, then the defaults.
type reader struct {
	flags   *pflag.FlagSet
	environ []string
	places  []string // where to look for a file if none is named
	file    document // the zero value if there is no file
	k       *koanf.Koanf
}

// Load reads the configuration of the server. Its errors are of type *exit.Error and name
// the flag, the variable, or the file and line at fault, and what would be right.
func Load(flags *pflag.FlagSet, environ []string) (Config, error) {
	r := &reader{flags: flags, environ: environ, k: koanf.New(".")}
	c, err := r.read()
	if err != nil {
		return c, exit.Errorf(exit.Usage, "%w", err)
	}
	return c, nil
}

// LoadOnly reads the settings with these keys. It does not check the others.
func LoadOnly(flags *pflag.FlagSet, environ []string, keys ...string) (Config, error) {
	r := &reader{flags: flags, environ: environ, k: koanf.New(".")}
	var c Config
	err := r.layers()
	if err == nil {
		err = r.take(&c, func(s Setting) bool { return slices.Contains(keys, s.Key) })
	}
	if err != nil {
		return c, exit.Errorf(exit.Usage, "%w", err)
	}
	return c, nil
}

func (r *reader) read() (Config, error) {
	var c Config
	if err := r.layers(); err != nil {
		return c, err
	}
	if err := r.take(&c, func(s Setting) bool { return !s.Remote }); err != nil {
		return c, err
	}
	if err := r.checkExposure(c); err != nil {
		return c, err
	}
	if err := r.checkCluster(c); err != nil {
		return c, err
	}
	c.Unknown = r.unknown()
	var err error
	if c.Traces, err = TracesWanted(r.getenv); err != nil {
		return c, err
	}
	c.Providers, c.Routes, err = r.upstreams(c.Simulate)
	return c, err
}

// take puts the wanted settings into c.
func (r *reader) take(c *Config, wanted func(Setting) bool) error {
	for _, s := range Settings {
		values := texts(r.k.Get(s.name()))
		if values == nil || s.Key == "" || !wanted(s) {
			continue
		}
		if err := s.set(c, values); err != nil {
			return fmt.Errorf("%s: %w", r.origin(s), err)
		}
	}
	return nil
}

// layers loads all layers, the defaults first.
func (r *reader) layers() error {
	defaults := map[string]any{}
	for _, s := range Settings {
		if s.Def != "" {
			defaults[s.name()] = s.Def
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

// unknown returns the variables with our prefix that no setting has. They may be misspelled,
// so the server warns about them. They may belong to another program, so they are no error.
func (r *reader) unknown() []string {
	var unknown []string
	for _, v := range r.variables() {
		name, _, _ := strings.Cut(v, "=")
		known := slices.ContainsFunc(Settings, func(s Setting) bool { return s.Variable == name })
		if strings.HasPrefix(name, "RINGBACK_") && !known {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

// variables returns the environment without empty variables, which count as unset.
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

// name returns the key of a setting in the layers.
func (s Setting) name() string { return cmp.Or(s.Key, s.Flag) }

func keyOfVariable(variable, value string) (string, any) {
	for _, s := range Settings {
		if s.Variable == variable {
			return s.name(), value
		}
	}
	return "", nil
}

func (r *reader) keyOfFlag(f *pflag.Flag) (string, any) {
	for _, s := range Settings {
		if s.Flag == f.Name && f.Changed {
			return s.name(), posflag.FlagVal(r.flags, f)
		}
	}
	return "", nil
}

// texts returns the value of any layer as text, or nil if there is none.
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

// origin returns the flag, the variable or the line of the file that set a setting.
func (r *reader) origin(s Setting) string {
	if f := r.flags.Lookup(s.Flag); f != nil && f.Changed {
		return "--" + s.Flag
	}
	if r.getenv(s.Variable) != "" {
		return s.Variable
	}
	return r.file.where(s.Key)
}

// checkCluster refuses settings that are wrong with or without a shared database.
func (r *reader) checkCluster(c Config) error {
	switch {
	case c.DatabaseURL == "" && c.Roles != node.API|node.Worker:
		return fmt.Errorf("%s: a node with a single role needs other nodes and a shared database; set --database-url, or leave this out", r.originOf("roles"))
	case c.DatabaseURL == "" && c.DatabaseDirectURL != "":
		return fmt.Errorf("%s: it requires --database-url, which is not set", r.originOf("database_direct_url"))
	case c.DatabaseURL == "" && c.AdvertiseURL != "":
		return fmt.Errorf("%s: it requires --database-url, which is not set; --public-url is where clients reach the server", r.originOf("advertise_url"))
	case c.DatabaseURL != "" && len(c.Secrets) == 0:
		return errors.New("WEBHOOK_SECRET is not set: all nodes that share a database need the same one; whsec_$(openssl rand -base64 32) makes one")
	}
	return nil
}

// originOf returns the origin of the setting with a key.
func (r *reader) originOf(key string) string {
	i := slices.IndexFunc(Settings, func(s Setting) bool { return s.Key == key })
	return r.origin(Settings[i])
}

// checkExposure refuses to serve strangers without a key, unless the operator allows it.
func (r *reader) checkExposure(c Config) error {
	if c.APIKey != "" || c.Insecure {
		return nil
	}
	if slices.Contains(c.AllowOrigins, "*") {
		return fmt.Errorf("%s: any web page could call this server, and no API key is set; set RINGBACK_API_KEY, "+
			"or list the allowed origins, or use --insecure if any page may spend your money", r.originOf("allow_origin"))
	}
	if address.IsLoopback(c.Addr) {
		return nil
	}
	return fmt.Errorf("%s: other machines can reach %s, and no API key is set; set RINGBACK_API_KEY, "+
		"or listen on 127.0.0.1, or use --insecure if anyone who can reach it may spend your money", r.originOf("addr"), c.Addr)
}

// Place returns where jobs are kept, for a log: it has no password.
func (c Config) Place() string {
	if c.DatabaseURL == "" {
		return c.Data
	}
	u, err := url.Parse(c.DatabaseURL)
	if err != nil {
		return "postgres"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}
