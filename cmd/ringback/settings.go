package main

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

// setting is one line of the table: what may be set, by which names, and how its
// text is read.
type setting struct {
	key      string // in the file; "" only of --config
	flag     string // "": there is none
	variable string
	meta     string // what stands for its value; "" of a switch
	def      string // "" means none
	help     string
	list     bool // may be given several times
	remote   bool // not of serve, but of the commands that talk to a server
	set      func(c *config, values []string) error
}

// settings is the one table that flags, variables, keys, help and
// docs/configuration.md are made of.
var settings = []setting{
	{
		flag: "config", variable: "RINGBACK_CONFIG", meta: "FILE",
		help: "the configuration file, YAML; unknown keys in it are errors",
		set:  one(func(*config, string) error { return nil }), // read before all others
	},
	{
		key: "addr", flag: "addr", variable: "RINGBACK_ADDR", meta: "ADDRESS", def: "127.0.0.1:8080",
		help: "listen here; an address that others can reach requires RINGBACK_API_KEY or --insecure",
		set:  one(func(c *config, s string) error { return setAddr(&c.addr, s) }),
	},
	{
		key: "data", flag: "data", variable: "RINGBACK_DATA", meta: "DIR", def: "./ringback-data",
		help: "the data directory; created if it is missing, used by one process at a time",
		set:  one(func(c *config, s string) error { return setText(&c.data, s) }),
	},
	{
		key: "database_url", flag: "database-url", variable: "RINGBACK_DATABASE_URL", meta: "URL",
		help: "keep jobs in this PostgreSQL, postgres://user@host/database, which many nodes can share, instead of in --data; others can see a flag with ps, so use the variable if there is a password",
		set:  one(func(c *config, s string) error { return setDatabaseURL(&c.databaseURL, s) }),
	},
	{
		key: "database_direct_url", flag: "database-direct-url", variable: "RINGBACK_DATABASE_DIRECT_URL", meta: "URL",
		help: "the same database without the pooler that --database-url goes through; nodes are then notified of each other's changes at once",
		set:  one(func(c *config, s string) error { return setDatabaseURL(&c.databaseDirectURL, s) }),
	},
	{
		key: "database_connections", flag: "database-connections", variable: "RINGBACK_DATABASE_CONNECTIONS", meta: "N", def: "8",
		help: "how many connections a node keeps for reads; it keeps three more for other work",
		set:  one(func(c *config, s string) error { return setCount(&c.databaseConnections, s, 1000) }),
	},
	{
		key: "roles", flag: "roles", variable: "RINGBACK_ROLES", meta: "ROLES", def: "api,worker",
		help: "what this node does: api takes requests, worker calls providers and sends webhooks; a single role requires --database-url and other nodes",
		set:  one(setRoles),
	},
	{
		key: "advertise_url", flag: "advertise-url", variable: "RINGBACK_ADVERTISE_URL", meta: "URL",
		help: "where other nodes reach this one, to relay its streams; default: the address from which it reaches the database, with the port of --addr",
		set:  one(func(c *config, s string) error { return setServerURL(&c.advertiseURL, s) }),
	},
	{
		key: "public_url", flag: "public-url", variable: "RINGBACK_PUBLIC_URL", meta: "URL",
		help: "where clients reach this server, for the links in responses; without it the links are paths",
		set:  one(func(c *config, s string) error { return setServerURL(&c.publicURL, s) }),
	},
	{
		key: "url", flag: "url", variable: "RINGBACK_URL", meta: "URL", def: client.DefaultURL, remote: true,
		help: "the server that submit, jobs, deliveries, dead and nodes talk to",
		set:  one(func(c *config, s string) error { return setServerURL(&c.url, s) }),
	},
	{
		key: "api_key", variable: "RINGBACK_API_KEY",
		help: "the one key that clients send as Authorization: Bearer or x-api-key; serve requires it, and submit, jobs, deliveries, dead and nodes send it; it has no flag because ps would show it",
		set:  one(setAPIKey),
	},
	{
		key: "webhook_secret", variable: "WEBHOOK_SECRET",
		help: "signs the webhooks; NEW,OLD signs with both while you replace it; without one, a whsec_ secret is generated and kept in DIR/webhook-secret; no flag, as above",
		list: true,
		set:  setWebhookSecret,
	},
	{
		key: "default_model", variable: "RINGBACK_DEFAULT_MODEL", // no default here: with --simulate alone it is another one
		help: "the model for requests that name none; default: claude-sonnet-5-5, or sim/echo if --simulate is the only provider; a warning is logged at startup if its maker retires it",
		set:  one(func(c *config, s string) error { return setText(&c.defaultModel, s) }),
	},
	{
		key: "allow_callback", flag: "allow-callback", variable: "RINGBACK_ALLOW_CALLBACK", meta: "CIDR", list: true,
		help: "let webhooks go to these addresses too, such as 127.0.0.0/8 or 10.0.0.0/8; repeat it, or separate by commas",
		set:  setAllowCallback,
	},
	{
		key: "allow_provider_header", flag: "allow-provider-header", variable: "RINGBACK_ALLOW_PROVIDER_HEADER", meta: "NAME", list: true,
		help: "let requests also pass this header on to their provider, in provider_headers or as a header of the request; repeat it, or separate by commas",
		set:  setAllowProviderHeader,
	},
	{
		key: "allow_origin", flag: "allow-origin", variable: "RINGBACK_ALLOW_ORIGIN", meta: "ORIGIN", list: true,
		help: "let web pages of this origin call the API, such as https://app.example.com; * allows all and requires RINGBACK_API_KEY or --insecure; repeat it, or separate by commas",
		set:  setAllowOrigin,
	},
	{
		key: "concurrency", flag: "concurrency", variable: "RINGBACK_CONCURRENCY", meta: "N", def: "256",
		help: "how many provider calls run at once",
		set:  one(func(c *config, s string) error { return setCount(&c.concurrency, s, 100_000) }),
	},
	{
		key: "max_queued", flag: "max-queued", variable: "RINGBACK_MAX_QUEUED", meta: "N", def: "1000000",
		help: "how many jobs may wait; beyond that, clients get a 503 with Retry-After",
		set:  one(func(c *config, s string) error { return setCount(&c.maxQueued, s, 1_000_000_000) }),
	},
	{
		key: "drain_timeout", flag: "drain-timeout", variable: "RINGBACK_DRAIN_TIMEOUT", meta: "DURATION", def: "20s",
		help: "how long running calls and webhooks may continue after SIGTERM; what is cut off is repeated after the next start",
		set:  one(setDrainTimeout),
	},
	{
		key: "simulate", flag: "simulate", variable: "RINGBACK_SIMULATE",
		help: "add a provider that costs nothing: models sim/echo, sim/slow, sim/flaky-3, sim/429, sim/break-off",
		set:  one(func(c *config, s string) error { return setSwitch(&c.simulate, s) }),
	},
	{
		key: "insecure", flag: "insecure", variable: "RINGBACK_INSECURE",
		help: "serve others without an API key: anyone who can reach the address can spend your money",
		set:  one(func(c *config, s string) error { return setSwitch(&c.insecure, s) }),
	},
	{
		key: "log_level", flag: "log-level", variable: "RINGBACK_LOG_LEVEL", meta: "LEVEL", def: "info",
		help: "debug, info, warn or error; debug logs each request and each move of a job",
		set:  one(setLogLevel),
	},
}

// addFlags gives a command the flags of some settings.
func addFlags(flags *pflag.FlagSet, names ...string) {
	flags.SortFlags = false // the table's order is that of the need
	for _, s := range settings {
		usage := fmt.Sprintf("`%s` %s [%s]", s.meta, s.help, s.variable)
		switch {
		case s.flag == "" || !slices.Contains(names, s.flag):
		case s.meta == "":
			flags.Bool(s.flag, false, fmt.Sprintf("%s [%s]", s.help, s.variable))
		case s.list:
			flags.StringArray(s.flag, nil, usage)
		default:
			flags.String(s.flag, s.def, usage)
		}
	}
}

// one reads a setting that has one value.
func one(set func(*config, string) error) func(*config, []string) error {
	return func(c *config, values []string) error {
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

func setAddr(to *string, s string) error {
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

func setDatabaseURL(to *string, s string) error {
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

func setRoles(c *config, s string) error {
	c.roles = 0
	for _, name := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' }) {
		switch name {
		case "api":
			c.roles |= node.API
		case "worker":
			c.roles |= node.Worker
		default:
			return fmt.Errorf("%q is not one of api, worker", name)
		}
	}
	if c.roles == 0 {
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

func setAPIKey(c *config, s string) error {
	if strings.Contains(s, ",") {
		return errors.New("contains a comma, which no key can; this is one key, not a list")
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("the key must be printable ASCII without spaces (does it end in a line break?)")
	}
	return setText(&c.apiKey, s)
}

func setWebhookSecret(c *config, values []string) (err error) {
	if c.secrets, err = ringback.ParseSecrets(strings.Join(values, ",")); err != nil {
		return fmt.Errorf("%w; whsec_$(openssl rand -base64 32) makes a secret", err)
	}
	return nil
}

func setAllowCallback(c *config, values []string) error {
	c.allowCallback = nil
	for _, v := range values {
		for _, s := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' }) {
			p, err := netip.ParsePrefix(s)
			if addr, isAddr := netip.ParseAddr(s); isAddr == nil {
				return fmt.Errorf("%q is one address; write it as the range %s/%d", s, s, addr.BitLen())
			}
			if err != nil {
				return fmt.Errorf("%q is not a range of addresses; write it like 10.0.0.0/8 or fd00::/8", s)
			}
			c.allowCallback = append(c.allowCallback, p)
		}
	}
	return nil
}

func setAllowOrigin(c *config, values []string) error {
	c.allowOrigins = nil
	for _, v := range values {
		for _, s := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' }) {
			if err := api.CheckOrigin(s); err != nil {
				return err
			}
			c.allowOrigins = append(c.allowOrigins, s)
		}
	}
	return nil
}

func setAllowProviderHeader(c *config, values []string) error {
	c.allowHeaders = nil
	for _, v := range values {
		for _, s := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' }) {
			if err := provider.CheckHeaderName(s); err != nil {
				return err
			}
			if name := strings.ToLower(s); !slices.Contains(provider.HeaderNames, name) && !slices.Contains(c.allowHeaders, name) {
				c.allowHeaders = append(c.allowHeaders, name)
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

func setDrainTimeout(c *config, s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > time.Hour {
		return fmt.Errorf("%q is not a duration from 0s to 1h; write it like 20s or 2m", s)
	}
	c.drainTimeout = d
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

func setLogLevel(c *config, s string) error {
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, s) {
		return fmt.Errorf("%q is not one of debug, info, warn, error", s)
	}
	var level slog.Level
	err := level.UnmarshalText([]byte(s))
	c.logLevel = level
	return err
}
