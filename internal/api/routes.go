package api

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/ringback/ringback"
)

// A route is one line of the API: what it is, and what it needs.
type route struct {
	method, path string
	query        []string // the parameters that it knows
	body         bodyRule
	open         bool // it asks for no key, and is not logged
	door         door
}

// A door serves a route. Whatever it returns, it does not write.
type door func(ctx context.Context, c *call) (reply, error)

type bodyRule int

const (
	noBody       bodyRule = iota
	optionalBody          // JSON, if there is one
	jsonBody
)

func (s *Server) routes() []route {
	pages := []string{"limit", "cursor"}
	return []route{
		{method: "POST", path: "/api/generate", body: jsonBody, door: decoded(readGenerate, s.generate)},
		{method: "GET", path: "/api/jobs", door: s.jobs, query: []string{
			"limit", "cursor", "status", "model", "created_after", "created_before", metadataPrefix,
		}},
		{method: "GET", path: "/api/jobs/{id}", door: s.job, query: []string{"wait", "include"}},
		{method: "GET", path: "/api/jobs/{id}/attempts", door: s.attempts, query: pages},
		{method: "GET", path: "/api/jobs/{id}/deliveries", door: s.deliveries, query: pages},
		{method: "POST", path: "/api/jobs/{id}/cancel", body: optionalBody, door: decoded(readNothing, s.cancel)},
		{method: "POST", path: "/api/jobs/{id}/retry", body: optionalBody, door: s.retry},
		{method: "POST", path: "/api/jobs/{id}/redeliver", body: optionalBody, door: decoded(readNothing, s.redeliver)},
		{method: "DELETE", path: "/api/jobs/{id}", door: s.erase},
		{method: "GET", path: "/api/dead", door: s.dead, query: []string{
			"kind", "limit", "cursor", "model", "provider", "code", "host",
			"created_after", "created_before", "ended_after", "ended_before", metadataPrefix,
		}},
		{method: "POST", path: "/api/dead/replay", body: jsonBody, door: decoded(readDeadAction, s.replayDead)},
		{method: "DELETE", path: "/api/dead", body: jsonBody, door: decoded(readDeadAction, s.purgeDead)},
		{method: "GET", path: "/healthz", door: s.healthz, open: true},
		{method: "GET", path: "/readyz", door: s.readyz, open: true},
		{method: "GET", path: "/metrics", door: s.showMetrics},
	}
}

// decoded makes a door of one that wants its body as a T.
func decoded[T any](read readField[T], serve func(context.Context, *call, *T) (reply, error)) door {
	return func(ctx context.Context, c *call) (reply, error) {
		body, err := decode(c.body, read)
		if err != nil {
			return reply{}, err
		}
		return serve(ctx, c, body)
	}
}

// mount puts the table on the mux, and behind each path what answers other
// methods.
func (s *Server) mount(table []route) {
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
	s.handle("/", unknownPath)
}

func (s *Server) handle(pattern string, rt route) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, rt) })
}

func wrongMethod(allowed []string) route {
	list := strings.Join(slices.Sorted(slices.Values(allowed)), ", ")
	return route{door: func(_ context.Context, c *call) (reply, error) {
		c.answer.Set("Allow", list)
		return reply{}, &ringback.Error{Code: ringback.MethodNotAllowed, Message: "this path takes " + list}
	}}
}

var unknownPath = route{door: func(context.Context, *call) (reply, error) {
	return reply{}, &ringback.Error{
		Code:    ringback.NotFound,
		Message: "there is nothing at this path; jobs are sent to POST /api/generate and read at GET /api/jobs/{id}",
	}
}}
