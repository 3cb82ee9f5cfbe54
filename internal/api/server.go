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

	"github.com/ringback/ringback/internal/conns"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/metrics"
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
	// AllowOrigins are those of the web pages that may call the API from elsewhere,
	// such as https://app.example.com; "*" allows all, which takes an APIKey, or
	// Insecure. Empty: none may.
	AllowOrigins []string
	// MaxBody bounds a request's body, in bytes. Zero: 32 MiB.
	MaxBody int64
	// MaxConns bounds the connections that are open at once. For a further one,
	// another gives way: of those that have not shown a key the one that has done
	// nothing for longest, else of those that wait for a request. Where all are being
	// answered, it waits. Zero: 16,384.
	MaxConns int
	// MaxReaders bounds those who watch jobs at once, by SSE and WebSocket. Zero:
	// 10,000.
	MaxReaders int
	// Version of the program, as /healthz shows it. Empty: it shows none.
	Version string
	// Metrics are what /metrics shows, the server's own among them; nil: nothing.
	Metrics *prometheus.Registry
	// Tracer makes the spans of requests that make jobs. Nil: none is made.
	Tracer trace.Tracer
	// Logger gets internal errors as errors and each request at debug, but
	// those for the open routes. Nil: nothing is logged.
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
	passing      chan struct{} // holds one for each stranger whose body is passed over
	listing      chan struct{} // holds one for each list that is being read
	readers      *readers
	fanouts      fanouts
	beat         time.Duration                                 // between two signs of life to a reader
	readerGrace  time.Duration                                 // that a reader gets to take what is written to it
	bodies       *memory.Budget                                // for bodies
	reserve      func(bytes int64) (release func(), err error) // of the memory for reads
	mux          *http.ServeMux
	document     func() ([]byte, error) // OpenAPI's, made once when it is first asked for
	worker       bool                   // the node takes no requests
	unknown      *route                 // of where there is nothing

	closing context.Context // done when waiting requests are to be answered as they stand
	close   context.CancelFunc
}

// New makes the API of n. It returns an error that names the field of c that is
// wrong.
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
		bodyGrace: bodyGrace, beat: beat, readerGrace: readerGrace, bodies: n.DoorMemory(), reserve: n.ReserveRead, mux: http.NewServeMux(),
		worker: !n.Roles().Has(node.API), passing: make(chan struct{}, strangersPassed),
		listing: make(chan struct{}, listsAtOnce(n.ReadsMemory())),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.metrics == nil {
		s.metrics = prometheus.NewRegistry()
	}
	var registerer prometheus.Registerer // an interface that is nil makes metrics that nobody sees
	if c.Metrics != nil {
		registerer = c.Metrics
	}
	s.connections = conns.NewMetrics(registerer)
	s.readers = newReaders(cmp.Or(c.MaxReaders, defaultMaxReaders), registerer)
	s.fanouts.all = map[fanoutKey]*fanout{}
	s.closing, s.close = context.WithCancel(context.Background())
	context.AfterFunc(s.closing, s.readers.dismiss)
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
