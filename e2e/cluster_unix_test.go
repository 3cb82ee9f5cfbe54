//go:build unix

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/postgrestest"
	"github.com/ringback/ringback/internal/simulate"
)

// cluster is a world of several nodes. Each has a place, with an endpoint that leads to the
// process that is running there.
type cluster struct {
	*world

	nodes []*place
}

// place is where a node runs. Each start replaces its server, which is nil before the
// first.
type place struct {
	*world

	name   string
	args   []string
	server *server
}

// newCluster makes a world with places for that many nodes, which keep their jobs in one
// database. None is running yet. The cluster's own endpoint leads to the first.
func newCluster(t *testing.T, s setup, database string, places int, flags ...string) *cluster {
	t.Helper()
	w := newWorld(t, s)
	w.keeps = append([]string{"--database-url", database}, flags...)
	c := &cluster{world: w}
	for n := range places {
		there := *w
		if n > 0 {
			there.endpoint = newEndpoint(t)
		}
		c.nodes = append(c.nodes, &place{world: &there, name: string(rune('A' + n))})
	}
	return c
}

// open starts the node of a place.
func (p *place) open(args ...string) {
	p.t.Helper()
	p.args = args
	p.again()
}

// again restarts the node of a place with the same arguments.
func (p *place) again() {
	p.t.Helper()
	p.server = p.start(p.args...)
}

// ids returns the ids that the node's present process has had, oldest first.
func (p *place) ids() []string { return p.server.nodeIDs() }

func (s *server) nodeIDs() (ids []string) {
	for _, line := range s.tail(1 << 20) {
		var record struct{ Node string }
		if json.Unmarshal([]byte(line), &record) == nil && record.Node != "" && !slices.Contains(ids, record.Node) {
			ids = append(ids, record.Node)
		}
	}
	return ids
}

// counts returns the number of lines in a server's log that contain text.
func (s *server) counts(text string) (n int) {
	for _, line := range s.tail(1 << 20) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// quantile returns the duration that q of all do not exceed. It sorts them.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(q*float64(len(all))))]
}

// One node takes requests, another works. What is submitted to the one begins at the other
// within milliseconds, since a notification wakes it, not a clock.
func TestOneNodeTakesWhatAnotherSubmits(t *testing.T) {
	// Not parallel: it measures times.
	const jobs = 100
	halfway := newBarrier(10, "in the middle")
	c := newCluster(t, setup{barrier: halfway}, postgrestest.Database(t), 2)
	frontend, worker := c.nodes[0], c.nodes[1]
	frontend.open("--roles", "api")
	worker.open("--roles", "worker")
	frontend.ready()
	worker.ready()
	eventually(t, "two nodes", func() bool {
		nodes, err := frontend.api.Nodes(t.Context())
		return err == nil && len(nodes) == 2
	})

	next := time.NewTicker(100 * time.Millisecond) // a low load
	defer next.Stop()
	var queued, known []time.Duration
	for n := range jobs {
		id := frontend.submit(ringback.Request{Prompt: fmt.Sprint("job ", n), Model: "sim/echo"})
		job := frontend.ended(id)
		known = append(known, time.Since(job.EndedAt.Time))
		queued = append(queued, time.Duration(*job.QueueMS)*time.Millisecond)
		c.webhook(id)
		<-next.C
	}
	t.Logf("of %d jobs submitted at one node and run by another, half began within %s, 99 of 100 within %s, the last within %s; who waited knew of the end %s after it (median), at most %s",
		jobs, quantile(queued, .5), quantile(queued, .99), quantile(queued, 1), quantile(known, .5), quantile(known, 1))
	if p50 := quantile(queued, .5); p50 >= 20*time.Millisecond {
		t.Errorf("half of the jobs began within %s, want 20 ms", p50)
	}

	slow := frontend.submit(slowly("in the middle"))
	c.call(func(call simulate.Call) bool { return call.Prompt == "in the middle" && call.Words >= 10 })
	waiter := frontend.waitFor(slow)
	halfway.lift()
	wantAnswer(t, waiter, slow, ringback.Completed)
	frontend.delivered(slow)

	ledger, err := frontend.api.Attempts(t.Context(), slow)
	must(t, err)
	if len(ledger) != 1 || !slices.Equal(worker.ids(), []string{ledger[0].Node}) {
		t.Errorf("the job's ledger is\n%s\nwant one attempt on the worker, %s", describe(ledger), worker.ids())
	}
	if diff := cmp.Diff([2]float64{0, jobs + 1}, [2]float64{frontend.webhooksSent(), worker.webhooksSent()}); diff != "" {
		t.Errorf("webhooks that the frontend and the worker have sent (-want +got):\n%s", diff)
	}
	for path, want := range map[string]int{"/api/jobs": http.StatusNotFound, "/api/jobs/" + slow + "/stream": http.StatusNotFound, "/api/nodes": http.StatusNotFound, "/readyz": http.StatusOK, "/healthz": http.StatusOK} {
		if got := worker.status(path); got != want {
			t.Errorf("GET %s at the worker: got %d, want %d", path, got, want)
		}
	}
	if status, _, body := worker.post(t, "/api/generate", `{"prompt":"x","events":[]}`); status != http.StatusNotFound {
		t.Errorf("a submission at the worker got %d %s, want 404", status, compact(body))
	}

	worker.server.terminate(syscall.SIGTERM)
	if got := frontend.readiness(); got != http.StatusOK {
		t.Errorf("without a worker the frontend's readiness is %d, want 200: it takes jobs, which wait", got)
	}
	waits := frontend.submit(ringback.Request{Prompt: "of one who waits", Model: "sim/echo"})
	worker.again()
	frontend.delivered(waits)
	frontend.server.terminate(syscall.SIGTERM)
	worker.server.terminate(syscall.SIGTERM)
}

// status returns the status of a GET.
func (w *world) status(path string) int {
	w.t.Helper()
	resp, err := w.http.Get("http://127.0.0.1" + path)
	must(w.t, err)
	defer resp.Body.Close()
	return resp.StatusCode
}

// webhooksSent returns how many webhooks a node has delivered.
func (w *world) webhooksSent() (n float64) {
	w.t.Helper()
	resp, err := w.http.Get("http://127.0.0.1/metrics")
	must(w.t, err)
	_, _, body := read(w.t, resp)
	for line := range strings.Lines(string(body)) {
		if rest, ok := strings.CutPrefix(line, `ringback_deliveries_total{outcome="delivered"} `); ok {
			_, err := fmt.Sscan(rest, &n)
			must(w.t, err)
		}
	}
	return n
}
