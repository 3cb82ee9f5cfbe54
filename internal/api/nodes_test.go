package api_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/store"
)

func TestTheNodesAreListed(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: func(c *node.Config) { c.Machine, c.Version = "web-1", "1.1.0" }})
	w.end(w.submit(`"prompt":"Hi"`))
	got := read[ringback.Page[ringback.Node]](t, w.do("GET", "/api/nodes", ""))
	if len(got.Data) != 1 || got.NextCursor != nil {
		t.Fatalf("got %+v, want the one that answers", got)
	}
	n := got.Data[0]
	if age := time.Since(n.JoinedAt.Time); age < 0 || age > time.Minute {
		t.Errorf("joined %s ago", age)
	}
	n.JoinedAt = ringback.Time{}
	if n.ID != w.node.ID() || n.Machine != "web-1" || n.Version != "1.1.0" || len(n.Roles) != 2 || !n.ExpiresAt.IsZero() || !n.Self {
		t.Errorf("got %+v", n)
	}
}

func TestANodeThatOnlyWorksServesOnlyThoseWhoWatchIt(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: func(c *node.Config) { c.Roles = node.Worker }})
	for _, path := range []string{"/healthz", "/metrics"} {
		if got := w.do("GET", path, ""); got.StatusCode != http.StatusOK {
			t.Errorf("%s: got %s", path, got.Status)
		}
	}
	w.eventuallyReady()
	const why = "this node is a worker, which takes no requests; send them to a node with the role api"
	for _, target := range []string{"/api/jobs", "/api/nodes", "/api/generate", "/docs", "/openapi.json", "/", "/x"} {
		w.refused(w.do("GET", target, ""), http.StatusNotFound, ringback.Error{Code: ringback.NotFound, Message: why})
		w.refused(w.do("POST", target, "{}"), http.StatusNotFound, ringback.Error{Code: ringback.NotFound, Message: why})
	}
}

// eventuallyReady waits until the node's start is over.
func (w *world) eventuallyReady() {
	w.t.Helper()
	w.eventually("the node is ready", func() bool { return w.do("GET", "/readyz", "").StatusCode == http.StatusOK })
}

// goneStore is a store whose database can't be reached, or goes down during a commit.
type goneStore struct {
	store.Store
	err error
}

func (s goneStore) Job(context.Context, string, uuid.UUID, store.Parts) (store.Job, store.Content, error) {
	return store.Job{}, store.Content{}, s.err
}

func (s goneStore) List(context.Context, store.Query) ([]store.Job, *uuid.UUID, error) {
	return nil, nil, s.err
}

func (s goneStore) Submit(context.Context, store.NewJob) (store.Job, bool, error) {
	return store.Job{}, false, s.err
}

func (s goneStore) Cancel(context.Context, string, uuid.UUID, store.Decide) (store.Job, error) {
	return store.Job{}, s.err
}

func (s goneStore) Nodes(context.Context) ([]store.Node, error) { return nil, s.err }

func TestAllHandlersSayThatTheDatabaseIsOutOfReach(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err     error
		message string
	}{
		{store.ErrUnavailable, "the database can't be reached; try again in a moment"},
		{store.ErrUnknown, "the database was lost in the middle of this: it may be done or not; try again in a moment, " +
			"a new job with the same Idempotency-Key, so that it is not made twice"},
	} {
		w := start(t, setup{node: func(cfg *node.Config) { cfg.Store = goneStore{cfg.Store, c.err} }})
		const id = "0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d"
		for _, got := range []answer{
			w.do("POST", "/api/generate", `{"prompt":"Hi","events":[]}`),
			w.do("GET", "/api/jobs/"+id, ""),
			w.do("GET", "/api/jobs", ""),
			w.do("GET", "/api/nodes", ""),
			w.do("POST", "/api/jobs/"+id+"/cancel", ""),
			w.do("POST", "/api/jobs/"+id+"/retry", ""),
		} {
			w.refused(got, http.StatusServiceUnavailable, ringback.Error{Code: ringback.Unavailable, Message: c.message})
			if got.Header.Get("Retry-After") != "5" {
				t.Errorf("%s %s: Retry-After is %q, want 5", got.Request.Method, got.Request.URL.Path, got.Header.Get("Retry-After"))
			}
		}
	}
}
