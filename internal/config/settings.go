package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/api"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/provider"
)

// Setting is one line of the table: the names of a setting, its help, and how its value is
// parsed.
type Setting struct {
	Key      string // in the file; "" only for --config
	Flag     string // "": there is none
	Variable string
	Meta     string // the placeholder of its value; "": a switch
	Def      string // the default; "": none
	Help     string
	list     bool // may be repeated
	Remote   bool // of commands that talk to a server, not of serve
	set      func(c *Config, values []string) error
}

// Settings is the table from which flags, variables, keys, help and docs/configuration.md
// are made.
var Settings = []Setting{
	{
		Flag: "config", Variable: "RINGBACK_CONFIG", Meta: "FILE",
		Help: "the configuration file, YAML; unknown keys in it are errors",
		set:  one(func(*Config, string) error { return nil }), // read before all others
	},
	{
		Key: "addr", Flag: "addr", Variable: "RINGBACK_ADDR", Meta: "ADDRESS", Def: "127.0.0.1:8080",
		Help: "listen here; an address that others can reach requires RINGBACK_API_KEY or --insecure",
		set:  one(func(c *Config, s string) error { return SetAddr(&c.Addr, s) }),
	},
	{
		Key: "data", Flag: "data", Variable: "RINGBACK_DATA", Meta: "DIR", Def: "./ringback-data",
		Help: "the data directory; created if it is missing, used by one process at a time",
		set:  one(func(c *Config, s string) error { return setText(&c.Data, s) }),
	},
	{
		Key: "database_url", Flag: "database-url", Variable: "RINGBACK_DATABASE_URL", Meta: "URL",
		Help: "keep jobs in this PostgreSQL, postgres://user@host/database, which many nodes can share, instead of in --data; others can see a flag with ps, so use the variable if there is a password",
		set:  one(func(c *Config, s string) error { return SetDatabaseURL(&c.DatabaseURL, s) }),
	},
	{
		Key: "database_direct_url", Flag: "database-direct-url", Variable: "RINGBACK_DATABASE_DIRECT_URL", Meta: "URL",
		Help: "the same database without the pooler that --database-url goes through; nodes are then notified of each other's changes at once",
		set:  one(func(c *Config, s string) error { return SetDatabaseURL(&c.DatabaseDirectURL, s) }),
	},
	{
		Key: "database_connections", Flag: "database-connections", Variable: "RINGBACK_DATABASE_CONNECTIONS", Meta: "N", Def: "8",
		Help: "how many connections a node keeps for reads; it keeps three more for other work",
		set:  one(func(c *Config, s string) error { return setCount(&c.DatabaseConnections, s, 1000) }),
	},
	{
		Key: "roles", Flag: "roles", Variable: "RINGBACK_ROLES", Meta: "ROLES", Def: "api,worker",
		Help: "what this node does: api takes requests, worker calls providers and sends webhooks; a single role requires --database-url and other nodes",
		set:  one(setRoles),
	},
	{
		Key: "advertise_url", Flag: "advertise-url", Variable: "RINGBACK_ADVERTISE_URL", Meta: "URL",
		Help: "where other nodes reach this one, to relay its streams; default: the address from which it reaches the database, with the port of --addr",
		set:  one(func(c *Config, s string) error { return setServerURL(&c.AdvertiseURL, s) }),
	},
	{
		Key: "public_url", Flag: "public-url", Variable: "RINGBACK_PUBLIC_URL", Meta: "URL",
		Help: "where clients reach this server, for the links in responses; without it the links are paths",
		set:  one(func(c *Config, s string) error { return setServerURL(&c.PublicURL, s) }),
	},
	{
		Key: "url", Flag: "url", Variable: "RINGBACK_URL", Meta: "URL", Def: client.DefaultURL, Remote: true,
		Help: "the server that submit, jobs, deliveries, dead and nodes talk to",
		set:  one(func(c *Config, s string) error { return setServerURL(&c.URL, s) }),
	},
	{
		Key: "api_key", Variable: "RINGBACK_API_KEY",
		Help: "the one key that clients send as Authorization: Bearer or x-api-key; serve requires it, and submit, jobs, deliveries, dead and nodes send it; it has no flag because ps would show it",
		set:  one(setAPIKey),
	},
	{
		Key: "webhook_secret", Variable: "WEBHOOK_SECRET",
		Help: "signs the webhooks; NEW,OLD signs with both while you replace it; without one, a whsec_ secret is generated and kept in DIR/webhook-secret; no flag, as above",
		list: true,
		set:  setWebhookSecret,
	},
	{
		Key: "default_model", Variable: "RINGBACK_DEFAULT_MODEL", // no default here: with --simulate alone it is another one
		Help: "the model for requests that name none; default: claude-sonnet-5-5, or sim/echo if --simulate is the only provider; a warning is logged at startup if its maker retires it",
		set:  one(func(c *Config, s string) error { return setText(&c.DefaultModel, s) }),
	},
	{
		Key: "allow_callback", Flag: "allow-callback", Variable: "RINGBACK_ALLOW_CALLBACK", Meta: "CIDR", list: true,
		Help: "let webhooks go to these addresses too, such as 127.0.0.0/8 or 10.0.0.0/8; repeat it, or separate by commas",
		set:  setAllowCallback,
	},
	{
		Key: "allow_provider_header", Flag: "allow-provider-header", Variable: "RINGBACK_ALLOW_PROVIDER_HEADER", Meta: "NAME", list: true,
		Help: "let requests also pass this header on to their provider, in provider_headers or as a header of the request; repeat it, or separate by commas",
		set:  setAllowProviderHeader,
	},
	{
		Key: "allow_origin", Flag: "allow-origin", Variable: "RINGBACK_ALLOW_ORIGIN", Meta: "ORIGIN", list: true,
		Help: "let web pages of this origin call the API, such as https://app.example.com; * allows all and requires RINGBACK_API_KEY or --insecure; repeat it, or separate by commas",
		set:  setAllowOrigin,
	},
	{
		Key: "concurrency", Flag: "concurrency", Variable: "RINGBACK_CONCURRENCY", Meta: "N", Def: "256",
		Help: "how many provider calls run at once",
		set:  one(func(c *Config, s string) error { return setCount(&c.Concurrency, s, 100_000) }),
	},
	{
		Key: "max_queued", Flag: "max-queued", Variable: "RINGBACK_MAX_QUEUED", Meta: "N", Def: "1000000",
		Help: "how many jobs may wait; beyond that, clients get a 503 with Retry-After",
		set:  one(func(c *Config, s string) error { return setCount(&c.MaxQueued, s, 1_000_000_000) }),
	},
	{
		Key: "drain_timeout", Flag: "drain-timeout", Variable: "RINGBACK_DRAIN_TIMEOUT", Meta: "DURATION", Def: "20s",
		Help: "how long running calls and webhooks may continue after SIGTERM; what is cut off is repeated after the next start",
		set:  one(setDrainTimeout),
	},
	{
		Key: "simulate", Flag: "simulate", Variable: "RINGBACK_SIMULATE",
		Help: "add a provider that costs nothing: models sim/echo, sim/slow, sim/flaky-3, sim/429, sim/break-off",
		set:  one(func(c *Config, s string) error { return setSwitch(&c.Simulate, s) }),
	},
	{
		Key: "insecure", Flag: "insecure", Variable: "RINGBACK_INSECURE",
		Help: "serve others without an API key: anyone who can reach the address can spend your money",
		set:  one(func(c *Config, s string) error { return setSwitch(&c.Insecure, s) }),
	},
	{
		Key: "log_level", Flag: "log-level", Variable: "RINGBACK_LOG_LEVEL", Meta: "LEVEL", Def: "info",
		Help: "debug, info, warn or error; debug logs each request and each move of a job",
		set:  one(setLogLevel),
	},
}

// AddFlags adds the flags of the settings with these names.
func AddFlags(flags *pflag.FlagSet, names ...string) {
	flags.SortFlags = false // keep the table's order
	for _, s := range Settings {
		usage := fmt.Sprintf("`%s` %s [%s]", s.Meta, s.Help, s.Variable)
		switch {
		case s.Flag == "" || !slices.Contains(names, s.Flag):
		case s.Meta == "":
			flags.Bool(s.Flag, false, fmt.Sprintf("%s [%s]", s.Help, s.Variable))
		case s.list:
			flags.StringArray(s.Flag, nil, usage)
		default:
			flags.String(s.Flag, s.Def, usage)
		}
	}
}

// one reads a setting that has one value.
func one(set func(*Config, string) error) func(*Config, []string) error {
	return func(c *Config, values []string) error {
		if len(values) != 1 {
			return errors.New("takes one value, not a list")
		}
		return set(c, values[0])
	}
}

func setText(to *string, s string) error {
	if strings.TrimSpace(s) == "" {
		return errors.New("is empty")
	}
	*to = s
	return nil
}

// SetAddr sets an address to listen on, HOST:PORT.
func SetAddr(to *string, s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT; write it like 127.0.0.1:8080, or [::1]:8080", s)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q has no port from 0 to 65535; write it like 127.0.0.1:8080", s)
	}
	*to = s
	return nil
}

// SetDatabaseURL sets the URL of a PostgreSQL database.
func SetDatabaseURL(to *string, s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Host == "" && u.Query().Get("host") == "" {
		// The text may hold a password.
		return errors.New("is not the address of a PostgreSQL database; write it like postgres://user:password@db.example.com:5432/ringback")
	}
	if u.User == nil && strings.Contains(u.Path, "@") || u.Fragment != "" { // what was taken for the host is the user
		return errors.New("has a password with a character that has a meaning in a URL; write / as %2F, # as %23, ? as %3F")
	}
	*to = s
	return nil
}

func setRoles(c *Config, s string) error {
	c.Roles = 0
	for _, name := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' }) {
		switch name {
		case "api":
			c.Roles |= node.API
		case "worker":
			c.Roles |= node.Worker
		default:
			return fmt.Errorf("%q is not one of api, worker", name)
		}
	}
	if c.Roles == 0 {
		return errors.New("is empty; write api, worker or api,worker")
	}
	return nil
}

func setServerURL(to *string, s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("is not the address of a server; write it like https://ringback.example.com")
	}
	*to = strings.TrimRight(s, "/")
	return nil
}

func setAPIKey(c *Config, s string) error {
	if strings.Contains(s, ",") {
		return errors.New("contains a comma, which no key can; this is one key, not a list")
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("the key must be printable ASCII without spaces (does it end in a line break?)")
	}
	return setText(&c.APIKey, s)
}

func setWebhookSecret(c *Config, values []string) (err error) {
	if c.Secrets, err = ringback.ParseSecrets(strings.Join(values, ",")); err != nil {
		return fmt.Errorf("%w; whsec_$(openssl rand -base64 32) makes a secret", err)
	}
	return nil
}

func setAllowCallback(c *Config, values []string) error {
	c.AllowCallback = nil
	for _, v := range values {
		for _, s := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' }) {
			p, err := netip.ParsePrefix(s)
			if addr, isAddr := netip.ParseAddr(s); isAddr == nil {
				return fmt.Errorf("%q is one address; write it as the range %s/%d", s, s, addr.BitLen())
			}
			if err != nil {
				return fmt.Errorf("%q is not a range of addresses; write it like 10.0.0.0/8 or fd00::/8", s)
			}
			c.AllowCallback = append(c.AllowCallback, p)
		}
	}
	return nil
}

func setAllowOrigin(c *Config, values []string) error {
	c.AllowOrigins = nil
	for _, v := range values {
		for _, s := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' }) {
			if err := api.CheckOrigin(s); err != nil {
				return err
			}
			c.AllowOrigins = append(c.AllowOrigins, s)
		}
	}
	return nil
}

func setAllowProviderHeader(c *Config, values []string) error {
	c.AllowHeaders = nil
	for _, v := range values {
		for _, s := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' }) {
			if err := provider.CheckHeaderName(s); err != nil {
				return err
			}
			if name := strings.ToLower(s); !slices.Contains(provider.HeaderNames, name) && !slices.Contains(c.AllowHeaders, name) {
				c.AllowHeaders = append(c.AllowHeaders, name)
			}
		}
	}
	return nil
}

func setCount(to *int, s string, most int) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most {
		return fmt.Errorf("%q is not a whole number from 1 to %d", s, most)
	}
	*to = n
	return nil
}

func setDrainTimeout(c *Config, s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > time.Hour {
		return fmt.Errorf("%q is not a duration from 0s to 1h; write it like 20s or 2m", s)
	}
	c.DrainTimeout = d
	return nil
}

func setSwitch(to *bool, s string) error {
	b, err := strconv.ParseBool(s)
	if err != nil {
		return fmt.Errorf("%q is neither true nor false", s)
	}
	*to = b
	return nil
}

func setLogLevel(c *Config, s string) error {
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, s) {
		return fmt.Errorf("%q is not one of debug, info, warn, error", s)
	}
	var level slog.Level
	err := level.UnmarshalText([]byte(s))
	c.LogLevel = level
	return err
}

// HelpTitle is the title of the section of a command's help with its variables.
// Templates print sections in alphabetical order.
const HelpTitle = "Environment"
