package api

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringback/ringback/internal/api/fanout"
	"github.com/ringback/ringback/internal/conns"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/metrics"
	"github.com/ringback/ringback/internal/node"
)

// Config configures the API. The zero value serves only this machine, without a key.
type Config struct {
	// APIKey is required of every request but those for the open routes: /healthz, /readyz,
	// /openapi.json, /docs. Empty: no key is required, and only requests to a loopback Host
	// are served, unless Insecure is set.
	APIKey string
	// Insecure serves any Host without a key.
	Insecure bool
	// PublicURL is where clients reach the server, if that is not its own address: web
	// pages of that origin may call it. Empty: there is none.
	PublicURL string
	// AllowOrigins are the other origins whose web pages may call the API, such as
	// https://app.example.com; "*" allows all, which requires an APIKey, or Insecure.
	// Empty: none may.
	AllowOrigins []string
	// MaxBody bounds a request's body, in bytes. Zero: 32 MiB.
	MaxBody int64
	// MaxConns bounds the open connections. A further one evicts another: among those that
	// have not presented a key, the one idle for longest, otherwise one of those that wait
	// for a request. If all are being served, it waits. Zero: 16,384.
	MaxConns int
	// MaxReaders bounds the concurrent readers of jobs, by SSE and WebSocket. Zero: 10,000.
	MaxReaders int
	// Version of the program, as shown by /healthz. Empty: none is shown.
	Version string
	// Metrics are what /metrics shows, including the server's own; nil: nothing.
	Metrics *prometheus.Registry
	// Tracer makes the spans of requests that make jobs. Nil: none are made.
	Tracer trace.Tracer
	// Logger gets internal errors as errors and each request at debug, except those for the
	// open routes. Nil: nothing is logged.
	Logger *slog.Logger
}

const (
	defaultMaxBody    = 32 << 20
	defaultMaxReaders = 10_000
)

// A Server is the HTTP API of one node.
type Server struct {
	node         *node.Node
	log          *slog.Logger
	keys         keyring
	origins      *origins
	loopbackOnly bool
	version      string
	metrics      *prometheus.Registry
	tracer       trace.Tracer
	maxBody      int64
	maxConns     int
	connections  *metrics.Listener
	bodyGrace    time.Duration
	passing      chan struct{} // holds an element for each stranger whose body is read and discarded
	listing      chan struct{} // holds an element for each list that is being read
	readers      *fanout.Readers
	bodies       *memory.Pool                                  // for bodies
	reserve      func(bytes int64) (release func(), err error) // of the memory for reads
	mux          *http.ServeMux
	document     func() ([]byte, error) // OpenAPI's, made once when it is first requested
	worker       bool                   // the node accepts no requests
	unknown      *route                 // for paths that do not exist

	closing context.Context // done when waiting requests must be answered with the present state
	close   context.CancelFunc
}

// New makes the API of n. It returns an error that names the invalid field of c.
func New(c Config, n *node.Node) (*Server, error) {
	allowed, err := newOrigins(c.PublicURL, c.AllowOrigins, n.ProviderHeaders())
	if err != nil {
		return nil, err
	}
	if allowed.any && c.APIKey == "" && !c.Insecure {
		return nil, errors.New("AllowOrigins: * needs an APIKey, or Insecure: any web page could spend your money")
	}
	s := &Server{
		node: n, log: c.Logger, keys: newKeyring(c.APIKey), origins: allowed,
		loopbackOnly: c.APIKey == "" && !c.Insecure, version: c.Version, metrics: c.Metrics, tracer: c.Tracer,
		maxBody: cmp.Or(c.MaxBody, defaultMaxBody), maxConns: cmp.Or(c.MaxConns, conns.Limit),
		bodyGrace: bodyGrace, bodies: n.BodiesMemory(), reserve: reserving(n.ReadsMemory()), mux: http.NewServeMux(),
		worker: !n.Roles().Has(node.API), passing: make(chan struct{}, strangersPassed),
		listing: make(chan struct{}, listsAtOnce(n.ReadsMemory())),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.metrics == nil {
		s.metrics = prometheus.NewRegistry()
	}
	var registerer prometheus.Registerer // a nil interface makes metrics that nobody can see
	if c.Metrics != nil {
		registerer = c.Metrics
	}
	s.connections = conns.NewMetrics(registerer)
	s.closing, s.close = context.WithCancel(context.Background())
	s.readers = fanout.New(fanout.Config{
		Most: cmp.Or(c.MaxReaders, defaultMaxReaders), Rate: slowestRate, Reserve: s.reserve, OpenEnd: n.OpenEnd,
		UserError: userError, Closing: s.closing, Metrics: registerer, Logger: s.log,
	})
	table := s.routes()
	s.document = sync.OnceValues(func() ([]byte, error) { return describe(c.Version, table, n.ProviderHeaders()) })
	s.mount(table)
	return s, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !isClean(r.URL.Path) {
		s.serve(w, r, s.unknown) // the mux would redirect it
		return
	}
	s.mux.ServeHTTP(w, r)
}

func isClean(p string) bool {
	return strings.HasPrefix(p, "/") && (path.Clean(p) == p || path.Clean(p)+"/" == p)
}
