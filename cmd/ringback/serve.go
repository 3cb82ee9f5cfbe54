package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/address"
	"github.com/ringback/ringback/internal/api"
	"github.com/ringback/ringback/internal/config"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/intake"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/plain"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/simulate"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/telemetry"
	"github.com/ringback/ringback/internal/terminal"
	"github.com/ringback/ringback/internal/webhook"
)

func newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve [FLAGS]",
		Short: "Run the server",
		Long: `Run the server. POST /api/generate accepts jobs, and every job that got a 202 is on
disk. Jobs run, and their answers are delivered by webhook, until SIGINT or SIGTERM.
Then nothing new is started, running calls and webhooks get --drain-timeout to finish,
and the rest waits on disk for the next start. kill -9 loses nothing either.

With --database-url, jobs are kept in PostgreSQL, and --data is not used. Any number of
servers can share them. Each runs any job, and takes over those of a dead server within
10 s.

A key in the environment is enough. Without one, --simulate serves models that cost
nothing. Configure more providers, and routes to them, in the file.`,
		Example: `  EZAI_API_KEY=… ringback serve
  ringback serve --simulate --allow-callback 127.0.0.0/8
  RINGBACK_API_KEY=… ANTHROPIC_API_KEY=… ringback serve --addr :8080 --data /var/lib/ringback
  RINGBACK_DATABASE_URL=postgres://… WEBHOOK_SECRET=… EZAI_API_KEY=… ringback serve
  ringback serve --config /etc/ringback.yaml

  # /etc/ringback.yaml
  addr: 127.0.0.1:8080
  providers:
    anthropic: {concurrency: 50, requests_per_minute: 1000}
    own: {protocol: openai, base_url: http://10.0.0.5:11434/v1}
  routes:
    - {model: "llama-*", provider: own}`,
		Annotations:           map[string]string{config.HelpTitle: serveVariables(), exit.HelpTitle: exit.HelpText(exit.Local())},
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			if len(c.Providers) == 0 && !c.Simulate {
				return config.NoProvider()
			}
			out := terminal.Of(cmd.ErrOrStderr())
			log := telemetry.NewLogger(telemetry.LogConfig{Output: cmd.ErrOrStderr(), Level: c.LogLevel, Terminal: out.Is, Color: out.Color})
			for _, name := range c.Unknown {
				log.Warn("unknown variable (misspelled?)", "variable", name)
			}
			return serve(cmd.Context(), c, log, newRegistry(), func(string) {})
		},
	}
	config.AddFlags(cmd.Flags(), "config", "addr", "data", "public-url", "allow-callback", "allow-origin", "allow-provider-header", "concurrency", "max-queued",
		"drain-timeout", "database-url", "database-direct-url", "database-connections", "roles", "advertise-url", "simulate", "insecure", "log-level")
	return cmd
}

// serveVariables returns the section about settings without a flag.
func serveVariables() string {
	var b strings.Builder
	b.WriteString("  A flag overrides its variable, and a variable overrides the file, where the key is\n" +
		"  the flag's name with _ for -. These have no flag:\n")
	for _, w := range config.WellKnown {
		fmt.Fprintf(&b, "  %s\n        the key of provider %s, at %s unless %s is set\n", w.KeyVariable, w.Name, w.BaseURL, w.URLVariable)
	}
	for _, s := range config.Settings {
		if s.Flag == "" && !s.Remote {
			fmt.Fprintf(&b, "  %s\n        %s\n", s.Variable, strings.Join(plain.Wrap(s.Help+" [key "+s.Key+"]", 72), "\n        "))
		}
	}
	return b.String()
}

// msgUp is the one log line that others, such as the demo, wait for.
const msgUp = "server is up"

// serve runs a server until ctx is done and everything has stopped. It opens the parts in
// the order in which they need each other, first those that only read the configuration, so
// that a start that cannot succeed changes nothing; it closes them in reverse. Once it is
// up it calls up with its URL. An *exit.Error says what the operator can do.
func serve(ctx context.Context, c config.Config, log *slog.Logger, metrics *prometheus.Registry, up func(url string)) (err error) {
	defer paceProcessors()()
	parts := memoryParts(os.DirFS("/"))
	connections := connectionLimit(os.DirFS("/"), c)
	defer paceCollector()()
	defer limitCollector(os.DirFS("/"))()
	// The system's roots are read once, at the first TLS handshake. If no descriptor were
	// left for them then, no certificate would be trusted until the next start.
	_, _ = x509.SystemCertPool()
	providers, closeProviders, err := openProviders(c)
	if err != nil {
		return err
	}
	defer closeProviders()
	guard, err := webhook.NewGuard(webhook.GuardConfig{Allow: c.AllowCallback})
	if err != nil {
		return err
	}
	sender, err := webhook.NewSender(webhook.SenderConfig{Guard: guard, UserAgent: userAgent()})
	if err != nil {
		return err
	}
	defer sender.Close()
	listener, store, err := listenAndOpen(ctx, c, log, metrics)
	if errors.Is(err, errStopped) {
		log.Info("stopped before the database was there")
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	defer listener.Close() // the API has already closed it, unless something failed before
	secrets, err := signingSecrets(ctx, c, store, log)
	if err != nil {
		return err
	}
	if c.Simulate && len(c.Providers) == 0 {
		// No other provider answers requests that name no model.
		c.DefaultModel = cmp.Or(c.DefaultModel, config.SimulatedModel)
	}
	tracer, closeTraces, err := openTraces(ctx, c, log)
	if err != nil {
		return err
	}
	defer closeTraces()
	n, err := node.New(node.Config{
		Store: store, Providers: providers, Routes: c.Routes, DefaultModel: c.DefaultModel, ProviderHeaders: c.AllowHeaders,
		Guard: guard, Sender: sender, Secrets: secrets, PublicURL: c.PublicURL, URL: advertised(c, listener.Addr()),
		Concurrency: c.Concurrency, MaxQueued: c.MaxQueued, Memory: parts, DataDir: watchedDir(c),
		DrainTimeout: max(c.DrainTimeout, time.Millisecond), // 0 would mean the node's default
		Logger:       log, Metrics: metrics, Tracer: tracer,
		Roles: c.Roles, Machine: hostname(), Version: buildVersion().Version,
	})
	if err != nil {
		return err
	}
	server, err := api.New(api.Config{
		APIKey: c.APIKey, Insecure: c.Insecure, PublicURL: c.PublicURL, AllowOrigins: c.AllowOrigins, MaxConns: connections,
		Version: buildVersion().Version, Logger: log, Metrics: metrics, Tracer: tracer,
	}, n)
	if err != nil {
		return err
	}
	if c.APIKey == "" && !address.IsLoopback(c.Addr) {
		log.Warn("no API key is set: anyone who can reach this address can spend your money", "addr", c.Addr)
	}
	warnOfRetired(c, log)
	url := address.URL(listener.Addr())
	log.Info(msgUp, "url", url, "store", c.Place(), "roles", c.Roles.Names(), "providers", slices.Sorted(maps.Keys(providers)),
		"connections", connections, "version", buildVersion().Version)
	up(url)
	return runUntil(ctx, n, server, listener, log, c.DrainTimeout)
}

// hostname returns this machine's name in the network; "" if it has none.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

// listenAndOpen opens the listener and the store. A start whose address is in use leaves a
// directory alone. A database may have to be waited for, and meanwhile nobody should
// connect.
func listenAndOpen(ctx context.Context, c config.Config, log *slog.Logger, metrics prometheus.Registerer) (l net.Listener, s store.Store, err error) {
	listen := func() (err error) {
		if l, err = net.Listen("tcp", c.Addr); err != nil {
			return explainListen(err, c.Addr, c.Data)
		}
		return nil
	}
	open := func() (err error) {
		warnOfData(c, log)
		s, err = openStore(ctx, c, log, metrics)
		return err
	}
	if c.DatabaseURL != "" {
		if err = open(); err == nil {
			if err = listen(); err != nil {
				err = errors.Join(err, s.Close())
			}
		}
		return l, s, err
	}
	if err = listen(); err == nil {
		if err = open(); err != nil {
			err = errors.Join(err, l.Close())
		}
	}
	return l, s, err
}

// newRegistry makes the registry of a server's metrics.
func newRegistry() *prometheus.Registry { return telemetry.NewRegistry(build()) }

func build() telemetry.Build {
	v := buildVersion()
	return telemetry.Build{Version: v.Version, Revision: v.Revision, Go: v.Go}
}

// runUntil runs node and API until ctx is done. The API keeps running while the node
// drains: a client that waits for a running job still gets it, and new requests get a 503.
func runUntil(ctx context.Context, n *node.Node, server *api.Server, l net.Listener, log *slog.Logger, patience time.Duration) error {
	nodeCtx, stopNode := context.WithCancel(context.WithoutCancel(ctx))
	defer stopNode()
	serverCtx, closeServer := context.WithCancel(context.WithoutCancel(ctx))
	defer closeServer()
	defer context.AfterFunc(ctx, func() {
		log.Info("stopping; a second signal ends it at once", "drain_timeout", patience.String())
		stopNode()
	})()
	var g errgroup.Group
	g.Go(func() error {
		defer stopNode()
		return server.Run(serverCtx, l)
	})
	g.Go(func() error {
		defer closeServer()
		return n.Run(nodeCtx)
	})
	err := g.Wait()
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// dieOf ends the process when the disk cannot be trusted anymore: nothing uncommitted was
// promised, and a restart reads what is really there.
func dieOf(log *slog.Logger, dir string) func(error) {
	return func(err error) {
		log.Error("the data directory can no longer be trusted, so the server stops now; check the disk, restore the files that were moved, and start it again", "data", dir, "err", err)
		os.Exit(exit.DiskDied)
	}
}

// signingSecrets returns the operator's, or those in the data directory. If there are jobs
// it makes none: their receivers know another one, and would refuse everything.
func signingSecrets(ctx context.Context, c config.Config, jobs store.Store, log *slog.Logger) ([]ringback.Secret, error) {
	if len(c.Secrets) > 0 {
		return c.Secrets, nil
	}
	file := filepath.Join(c.Data, secretFile)
	secrets, err := readSecrets(file)
	switch {
	case err == nil:
		log.Info("webhooks are signed with the secret in this file; ringback secret prints it", "file", file)
		return secrets, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, exit.Errorf(exit.DataDir, "%w", err)
	}
	list, next, err := jobs.List(ctx, store.Query{Project: intake.DefaultProject, Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("look for jobs: %w", err)
	}
	if len(list) > 0 || next != nil {
		return nil, exit.Errorf(exit.DataDir, "%s is missing, but the directory holds jobs, and their receivers verify with the secret that was in it; "+
			"set WEBHOOK_SECRET to that secret, or restore the file; to start over with a new one, set WEBHOOK_SECRET=whsec_$(openssl rand -base64 32)", file)
	}
	secret := ringback.NewSecret()
	if err := writeSecret(file, secret); err != nil {
		return nil, exit.Errorf(exit.DataDir, "%w", err)
	}
	log.Info("generated a webhook secret; ringback secret prints it", "file", file)
	return []ringback.Secret{secret}, nil
}

// openProviders makes the clients of all providers, including the simulated one.
func openProviders(c config.Config) (map[string]node.Provider, func(), error) {
	providers := map[string]node.Provider{}
	closers := []func(){}
	closeAll := func() {
		for _, f := range slices.Backward(closers) {
			f()
		}
	}
	all := slices.Clone(c.Providers)
	if c.Simulate {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, fmt.Errorf("start the simulated provider: %w", err)
		}
		closers = append(closers, simulate.Serve(l, simulate.NewProvider(simulate.ProviderConfig{})))
		for _, s := range config.Simulated {
			all = append(all, config.Upstream{Name: s.Name, Protocol: s.Protocol, BaseURL: "http://" + l.Addr().String()})
		}
	}
	for _, u := range all {
		client, err := provider.New(provider.Config{
			Name: u.Name, Protocol: u.Protocol, BaseURL: u.BaseURL, APIKey: u.APIKey, Version: u.Version, UserAgent: userAgent(),
		})
		if err != nil {
			closeAll()
			return nil, nil, exit.Errorf(exit.Usage, "%s: %w", u.Origin, err)
		}
		closers = append(closers, client.Close)
		providers[u.Name] = node.Provider{Client: client, Concurrency: u.Concurrency, RequestsPerMinute: u.RequestsPerMinute}
	}
	return providers, closeAll, nil
}
