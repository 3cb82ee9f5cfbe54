package api

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/api/fanout"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/openapi"
	"github.com/ringback/ringback/internal/strictjson"
)

// A route is one line of the API: what it is, and what it needs.
type route struct {
	method, path string
	query        []string // the parameters that it knows
	body         bodyRule
	open         bool // it needs no key, and is not logged
	token        bool // a job's token opens it, too
	traced       bool // it has a span
	everywhere   bool // nodes that accept no requests have it, too
	handler      handler
	about        openapi.About   // what /openapi.json says about it in addition
	errors       []ringback.Code // that its handler returns; for the others see refusals
}

// A handler serves a route. It returns a reply and never writes it.
type handler func(ctx context.Context, c *call) (reply, error)

type bodyRule int

const (
	noBody       bodyRule = iota
	optionalBody          // JSON, if there is one
	jsonBody
)

func (s *Server) routes() []route {
	pages, watching := []string{"limit", "cursor"}, []string{"after", "token"}
	webhooks, dead := deliveries{s.node}, deadLetters{s.node}
	monitor, about := monitoring{s.node, s.version, s.metrics}, documentation{func() ([]byte, error) { return s.document() }}
	return []route{
		{
			method: "POST", path: "/api/generate", body: jsonBody, traced: true, handler: decoded(readGenerate, s.generate),
			errors: codes{ringback.IdempotencyMismatch, ringback.RateLimited},
			about: openapi.About{
				ID: "generate", Summary: "Submit a request", Takes: a[ringback.Request](), Gives: one[ringback.Accepted](),
				Status: 202, Headers: []string{"Location", "Idempotency-Replayed", "Preference-Applied"},
				Also: map[int]reflect.Type{http.StatusOK: a[ringback.Job]()},
			},
		},
		{
			method: "GET", path: "/api/jobs", handler: s.listed(s.jobs), query: []string{
				"limit", "cursor", "status", "model", "webhook", "created_after", "created_before", metadataPrefix,
			},
			about: openapi.About{ID: "jobs", Summary: "List jobs", Gives: one[ringback.Page[ringback.Job]]()},
		},
		{
			method: "GET", path: "/api/jobs/{id}", handler: s.job, query: []string{"wait", "include"},
			errors: codes{ringback.NotFound, ringback.Gone},
			about:  openapi.About{ID: "job", Summary: "Read a job, or wait for its end", Gives: one[ringback.Job]()},
		},
		{
			method: "GET", path: "/api/jobs/{id}/stream", handler: s.stream, query: watching, token: true, everywhere: true,
			errors: codes{ringback.NotFound, ringback.Gone},
			about: openapi.About{
				ID: "stream", Summary: "Watch a job: server-sent events", Gives: one[ringback.StreamEvent](), Media: fanout.EventStream,
				Also: map[int]reflect.Type{http.StatusNoContent: nil},
			},
		},
		{
			method: "GET", path: "/api/jobs/{id}/ws", handler: s.webSocket, query: watching, token: true,
			errors: codes{ringback.NotFound, ringback.Gone, ringback.Forbidden},
			about:  openapi.About{ID: "webSocket", Summary: "Watch a job: WebSocket", Status: http.StatusSwitchingProtocols},
		},
		{
			method: "GET", path: "/api/jobs/{id}/attempts", handler: s.listed(s.attempts), query: pages,
			errors: codes{ringback.NotFound, ringback.Gone},
			about:  openapi.About{ID: "attempts", Summary: "List the provider calls of a job", Gives: one[ringback.Page[ringback.Attempt]]()},
		},
		{
			method: "GET", path: "/api/jobs/{id}/deliveries", handler: s.listed(webhooks.ofJob), query: pages,
			errors: codes{ringback.NotFound, ringback.Gone},
			about:  openapi.About{ID: "jobDeliveries", Summary: "List the webhooks of a job", Gives: one[ringback.Page[ringback.Delivery]]()},
		},
		{
			method: "POST", path: "/api/jobs/{id}/cancel", body: optionalBody, handler: decoded(readNothing, s.cancel),
			errors: codes{ringback.NotFound, ringback.Conflict, ringback.Gone},
			about:  openapi.About{ID: "cancel", Summary: "Cancel a job", Gives: one[ringback.Job]()},
		},
		{
			method: "POST", path: "/api/jobs/{id}/retry", body: optionalBody, traced: true, handler: s.retry,
			errors: codes{ringback.NotFound, ringback.Conflict, ringback.Gone},
			about: openapi.About{
				ID: "retry", Summary: "Replay a job that ended without an answer", Takes: a[json.RawMessage](), Gives: one[ringback.Job](),
				Status: 202, Headers: []string{"Location"},
			},
		},
		{
			method: "POST", path: "/api/jobs/{id}/redeliver", body: optionalBody, handler: decoded(readRedelivery, webhooks.redeliver),
			errors: codes{ringback.NotFound, ringback.Conflict, ringback.Gone},
			about: openapi.About{
				ID: "redeliver", Summary: "Send the webhook of a job again, or to another URL", Takes: a[ringback.Redelivery](), Gives: one[ringback.Delivery](), Status: 202,
			},
		},
		{
			method: "DELETE", path: "/api/jobs/{id}", handler: s.erase, errors: codes{ringback.NotFound, ringback.Conflict},
			about: openapi.About{ID: "erase", Summary: "Erase a job", Status: 204},
		},
		{
			method: "GET", path: "/api/deliveries", handler: s.listed(webhooks.list), query: []string{
				"limit", "cursor", "status", "host", "status_code", "older_than", "created_after", "created_before", "job",
			},
			about: openapi.About{ID: "deliveries", Summary: "List webhooks", Gives: one[ringback.Page[ringback.Delivery]]()},
		},
		{
			method: "GET", path: "/api/deliveries/{id}", handler: s.listed(webhooks.one), errors: codes{ringback.NotFound},
			about: openapi.About{ID: "delivery", Summary: "Read a webhook with its tries", Gives: one[ringback.Delivery]()},
		},
		{
			method: "GET", path: "/api/dead", handler: s.listed(dead.list), query: []string{
				"kind", "limit", "cursor", "model", "provider", "code", "host",
				"created_after", "created_before", "ended_after", "ended_before", metadataPrefix,
			},
			about: openapi.About{ID: "dead", Summary: "List dead letters", Gives: []reflect.Type{
				a[ringback.Page[ringback.Job]](), a[ringback.Page[ringback.Delivery]](),
			}},
		},
		{
			method: "POST", path: "/api/dead/replay", body: jsonBody, handler: decoded(readDeadAction, dead.replay),
			about: openapi.About{
				ID: "replayDead", Summary: "Replay, or send again, all that match", Takes: a[ringback.DeadAction](), Gives: one[ringback.DeadDone](),
			},
		},
		{
			method: "DELETE", path: "/api/dead", body: jsonBody, handler: decoded(readDeadAction, dead.purge),
			about: openapi.About{
				ID: "purgeDead", Summary: "Erase all that match", Takes: a[ringback.DeadAction](), Gives: one[ringback.DeadDone](),
			},
		},
		{
			method: "GET", path: "/api/nodes", handler: monitor.nodes,
			about: openapi.About{ID: "nodes", Summary: "List the nodes that live", Gives: one[ringback.Page[ringback.Node]]()},
		},
		{
			method: "GET", path: "/healthz", handler: monitor.healthz, open: true, everywhere: true,
			about: openapi.About{ID: "health", Summary: "Is the process alive?", Gives: one[health]()},
		},
		{
			method: "GET", path: "/readyz", handler: monitor.readyz, open: true, everywhere: true,
			about: openapi.About{ID: "readiness", Summary: "Does the server take jobs?", Gives: one[node.Readiness](), Unready: true},
		},
		{
			method: "GET", path: "/metrics", handler: monitor.showMetrics, everywhere: true,
			about: openapi.About{ID: "metrics", Summary: "Metrics for Prometheus", Media: "text/plain"},
		},
		{
			method: "GET", path: "/openapi.json", handler: about.openapi, open: true,
			about: openapi.About{ID: "openapi", Summary: "This document", Media: "application/json"},
		},
		{
			method: "GET", path: "/docs", handler: about.page, open: true,
			about: openapi.About{ID: "docs", Summary: "This document, for a browser", Media: "text/html"},
		},
		{
			method: "GET", path: "/docs/{file}", handler: about.file, open: true, errors: codes{ringback.NotFound},
			about: openapi.About{ID: "docsFile", Summary: "What the page at /docs consists of", Media: "*/*"},
		},
	}
}

// decoded makes a handler from a function that wants the body as a T.
func decoded[T any](read strictjson.ReadField[T], serve func(context.Context, *call, *T) (reply, error)) handler {
	return func(ctx context.Context, c *call) (reply, error) {
		body, err := strictjson.Decode(c.body, read)
		if err != nil {
			return reply{}, err
		}
		return serve(ctx, c, body)
	}
}

// mount adds the table to the mux, and for each path a handler for other methods; on a node
// that accepts no requests, only what all nodes have.
func (s *Server) mount(table []route) {
	if s.worker {
		table = slices.DeleteFunc(slices.Clone(table), func(rt route) bool { return !rt.everywhere })
	}
	allowed := map[string][]string{}
	for _, rt := range table {
		s.handle(rt.method+" "+rt.path, rt)
		allowed[rt.path] = append(allowed[rt.path], rt.method)
		if rt.method == http.MethodGet {
			allowed[rt.path] = append(allowed[rt.path], http.MethodHead)
		}
	}
	for path := range maps.Keys(allowed) {
		s.handle(path, wrongMethod(allowed[path]))
	}
	unknown := s.unknownPath()
	s.unknown = &unknown
	s.handle("/", unknown)
}

// unknownPath returns the route for paths that do not exist.
func (s *Server) unknownPath() route {
	if s.worker {
		return nothingHere(onlyWorks)
	}
	return route{handler: func(_ context.Context, c *call) (reply, error) {
		why := "there is nothing at this path; jobs are sent to POST /api/generate and read at GET /api/jobs/{id}"
		switch path, slash := strings.CutSuffix(c.path, "/"); {
		case isProviderPath(c.path):
			why = notServed
		case slash && s.serves(path):
			why = "there is nothing at this path; write it without the trailing slash: " + path
		}
		return reply{}, &ringback.Error{Code: ringback.NotFound, Message: why}
	}}
}

// serves reports whether there is a route at a path.
func (s *Server) serves(path string) bool {
	_, pattern := s.mux.Handler(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}})
	return pattern != "/"
}

// onlyWorks is the error of a node that accepts no requests.
const onlyWorks = "this node is a worker, which takes no requests; send them to a node with the role api"

func nothingHere(why string) route {
	return route{handler: func(context.Context, *call) (reply, error) {
		return reply{}, &ringback.Error{Code: ringback.NotFound, Message: why}
	}}
}

func (s *Server) handle(pattern string, rt route) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, &rt) })
}

func wrongMethod(allowed []string) route {
	list := strings.Join(slices.Sorted(slices.Values(allowed)), ", ")
	return route{handler: func(_ context.Context, c *call) (reply, error) {
		c.answer.Set("Allow", list)
		return reply{}, &ringback.Error{Code: ringback.MethodNotAllowed, Message: "this path takes " + list}
	}}
}
