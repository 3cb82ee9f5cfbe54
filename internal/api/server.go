package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringback/ringback/internal/node"
)

// Config is what the door needs to know. The zero value serves this machine
// alone, without a key.
type Config struct {
	// APIKey is asked of every request but those for the open routes: /healthz,
	// /readyz, /openapi.json, /docs.
	// Empty: no key is asked for, and only requests to a loopback Host are
	// served, unless Insecure is set.
	APIKey string
	// Insecure serves any Host without a key.
	Insecure bool
	// PublicURL is where clients reach the server, where that is not its own
	// address: web pages of that origin may call it. Empty: there is none.
	PublicURL string
	// MaxBody bounds a request's body, in bytes. Zero: 32 MiB.
	MaxBody int64
	// MaxConns bounds the connections that are open at once. For a further one,
	// that goes which has been waiting for a request for longest; where all are
	// being answered, it waits. Zero: 4096.
	MaxConns int
	// Version of the program, as /healthz shows it. Empty: it shows none.
	Version string
	// Metrics are what /metrics shows; nil: nothing.
	Metrics prometheus.Gatherer
	// Tracer makes the spans of requests that make jobs. Nil: none is made.
	Tracer trace.Tracer
	// Logger gets internal errors as errors and each request at debug, but
	// those for the open routes. Nil: nothing is logged.
	Logger *slog.Logger
}

const (
	defaultMaxBody  = 32 << 20
	defaultMaxConns = 4096
)

// project owns all jobs until there are several.
const project = "default"

// A Server is the HTTP API of one node.
type Server struct {
	node         *node.Node
	log          *slog.Logger
	keys         keyring
	origins      *http.CrossOriginProtection
	loopbackOnly bool
	version      string
	metrics      prometheus.Gatherer
	tracer       trace.Tracer
	maxBody      int64
	maxConns     int
	bodyGrace    time.Duration
	reserve      func(bytes int64) (release func(), err error) // of the node's memory
	mux          *http.ServeMux
	document     func() ([]byte, error) // OpenAPI's, made once when it is first asked for
	worker       bool                   // the node takes no requests

	closing context.Context // done when waiting requests are to be answered as they stand
	close   context.CancelFunc
}

// New makes the API of n. It returns an error that names the field of c that is
// wrong.
func New(c Config, n *node.Node) (*Server, error) {
	s := &Server{
		node: n, log: c.Logger, keys: newKeyring(c.APIKey), origins: http.NewCrossOriginProtection(),
		loopbackOnly: c.APIKey == "" && !c.Insecure, version: c.Version, metrics: c.Metrics, tracer: c.Tracer,
		maxBody: c.MaxBody, maxConns: c.MaxConns, bodyGrace: bodyGrace, reserve: n.Reserve, mux: http.NewServeMux(),
		worker: !n.Roles().Has(node.API),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.metrics == nil {
		s.metrics = prometheus.NewRegistry()
	}
	if s.maxBody == 0 {
		s.maxBody = defaultMaxBody
	}
	if s.maxConns == 0 {
		s.maxConns = defaultMaxConns
	}
	if err := s.trust(c.PublicURL); err != nil {
		return nil, err
	}
	s.closing, s.close = context.WithCancel(context.Background())
	table := s.routes()
	s.document = sync.OnceValues(func() ([]byte, error) { return describe(c.Version, table) })
	s.mount(table)
	return s, nil
}

// trust lets web pages of the public URL's origin call the API: behind a proxy
// that rewrites Host they look foreign.
func (s *Server) trust(publicURL string) error {
	if publicURL == "" {
		return nil
	}
	u, err := url.Parse(publicURL)
	if err == nil && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		err = fmt.Errorf("%q is not an http or https URL", publicURL)
	}
	if err == nil {
		err = s.origins.AddTrustedOrigin(u.Scheme + "://" + u.Host)
	}
	if err != nil {
		return fmt.Errorf("PublicURL: %w", err)
	}
	return nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !isClean(r.URL.Path) {
		s.serve(w, r, s.unknownPath()) // the mux would redirect it
		return
	}
	s.mux.ServeHTTP(w, r)
}

func isClean(p string) bool {
	return strings.HasPrefix(p, "/") && (path.Clean(p) == p || path.Clean(p)+"/" == p)
}
