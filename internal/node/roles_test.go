package node_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
)

func roles(r node.Roles) func(*node.Config) {
	return func(c *node.Config) {
		impatient(c)
		c.Roles = r
	}
}

func TestOneNodeTakesRequestsAndAnotherWorks(t *testing.T) {
	t.Parallel()
	c := bySignals()
	var toFrontend, toWorker *link
	frontend := start(t, setup{node: c.joining(&toFrontend, roles(node.API))})
	worker := start(t, setup{beside: frontend, node: c.joining(&toWorker, roles(node.Worker))})
	j := frontend.ask("sim/echo", "worked elsewhere")
	if j.Status != ringback.Queued {
		t.Errorf("at the frontend: got %s, want queued", j.Status)
	}
	if got := frontend.end(j.ID); got.Status != ringback.Completed {
		t.Errorf("got %s, want completed", got.Status)
	}
	if at := frontend.ledger(j.ID)[0].Node; at != worker.node.ID() {
		t.Errorf("it ran on %s, want the worker", at)
	}
	frontend.settledDelivery(j.ID)
	frontend.wantWebhooks(j.ID, 1)

	_, err := worker.try(ringback.Request{Prompt: "at the wrong node"})
	fault(t, err, ringback.Unavailable)

	page, err := worker.node.Nodes(t.Context())
	must(t, err)
	if len(page.Data) != 2 || len(page.Data[0].Roles) != 1 || page.Data[0].Roles[0] != "api" || page.Data[1].Roles[0] != "worker" ||
		page.Data[0].Self || !page.Data[1].Self {
		t.Errorf("nodes: got %+v", page.Data)
	}
}

// A worker is behind no balancer that could stop sending it requests.
func TestAWorkerStaysReadyWhileTheStoreIsOutOfReach(t *testing.T) {
	t.Parallel()
	var way *link
	join := newCluster().joining(&way, roles(node.Worker))
	s, metrics := measured(setup{node: join})
	w := start(t, s)
	way.down.Store(true)
	w.eventually("the end of the lease", func() bool { return !w.node.Leased() })
	if r := w.node.Readiness(); !r.Ready || !strings.HasPrefix(r.Checks["database"], "the lease has run out at ") {
		t.Errorf("readiness: got %+v", r)
	}
	if age := values(t, metrics)["ringback_lease_age_seconds"]; age < leaseLasts.Seconds() {
		t.Errorf("age of the lease: got %v s, want more than it lasts", age)
	}
	way.down.Store(false)
	w.eventually("a lease again", func() bool { return w.node.Readiness().Checks["database"] == "ok" })
}

// A node of the API alone expires and sweeps jobs, but sends nothing.
func TestANodeWithoutWorkExpiresAndSweepsAndSendsNothing(t *testing.T) {
	t.Parallel()
	c := newCluster()
	var toFrontend, toWorker *link
	worker := start(t, setup{node: c.joining(&toWorker, roles(node.Worker))})
	frontend := start(t, setup{beside: worker, node: c.joining(&toFrontend, roles(node.API))})
	runs := frontend.ask("sim/mute", "lost with its worker")
	frontend.called("lost with its worker", 1)
	toWorker.down.Store(true)
	frontend.eventually("the sweep", func() bool { return frontend.job(runs.ID).Status == ringback.Queued })
	at := ringback.Time{Time: time.Now().Add(200 * time.Millisecond)}
	j := frontend.submit(ringback.Request{Prompt: "nobody is there", ExpiresAt: &at})
	if got := frontend.end(j.ID); got.Status != ringback.Expired {
		t.Errorf("got %s, want expired", got.Status)
	}
	if d := frontend.delivery(j.ID); d.Status != ringback.DeliveryPending || len(d.Tries) != 0 {
		t.Errorf("its webhook: got %s after %d tries, want it to wait for a worker", d.Status, len(d.Tries))
	}
	toWorker.down.Store(false)
	frontend.settledDelivery(j.ID)
	frontend.wantOutcomes(runs.ID, uncertain, ringback.AttemptOutcome(""))
	frontend.cancel(runs.ID)
	frontend.end(runs.ID)
}

func TestAModelWithControlCharactersIsRefused(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	for _, c := range []struct {
		r     ringback.Request
		field string
	}{
		{ringback.Request{Model: "sim/echo\x00"}, "model"},
		{ringback.Request{Model: "sim/\necho"}, "model"},
		{ringback.Request{Model: "sim/echo\u0085"}, "model"},
		{ringback.Request{Model: "sim/echo", FallbackModels: []string{"sim/echo", "sim/\x00"}}, "fallback_models[1]"},
	} {
		_, err := w.try(c.r)
		if e := fault(t, err, ringback.InvalidRequest); e.Field != c.field {
			t.Errorf("%q %q: got field %q, want %q", c.r.Model, c.r.FallbackModels, e.Field, c.field)
		}
	}
	if j := w.submit(ringback.Request{Model: "sim/echo?größe=1"}); j.Model != "sim/echo?größe=1" {
		t.Errorf("letters of all kinds: got %q", j.Model)
	}
}
