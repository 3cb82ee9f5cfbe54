//go:build unix

package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/postgrestest"
	"github.com/ringback/ringback/internal/simulate"
)

// absence is a way in which a database is down.
type absence struct {
	name       string
	goes, back func(*postgrestest.Server)
	// answers is how long a client may wait for its 503.
	answers time.Duration
}

var absences = []absence{
	{"stopped", (*postgrestest.Server).Stop, (*postgrestest.Server).Start, 2 * time.Second},
	{"unreachable", (*postgrestest.Server).Freeze, (*postgrestest.Server).Thaw, 10 * time.Second},
}

// recovers is how long after PostgreSQL is back the nodes may need to be ready.
const recovers = 8 * time.Second

// PostgreSQL is down for a minute (ten seconds in the short form) while calls of the
// provider are running. Clients get a 503 and when to retry, /readyz says why; the calls
// continue and are settled when it is back, so that no answer is paid for twice. The
// returning server is not stormed, and the log is not flooded.
func TestPostgreSQLAwayForAMinute(t *testing.T) {
	t.Parallel()
	lasts := 10 * time.Second
	if long {
		lasts = time.Minute
	}
	for _, a := range absences {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			pg := postgrestest.Start(t)
			wire := newTap(t, pg.Database())
			halfway := newBarrier(10)
			c := newCluster(t, setup{barrier: halfway, racing: true}, wire.url, 2)
			var ids []string
			for _, n := range c.nodes {
				n.open()
				n.ready()
				for i := range 10 {
					ids = append(ids, n.submit(slowly(fmt.Sprintf("job %d at %s", i, n.name))))
				}
			}
			eventually(t, "20 calls run", func() bool { return len(c.calls.Calls()) == len(ids) })

			from, before := time.Now(), wire.dials.Load()
			a.goes(pg)
			for _, n := range c.nodes {
				n.wantUnreadyFor("database")
			}
			halfway.lift()
			eventually(t, "all calls are answered", func() bool {
				for _, call := range c.calls.Calls() {
					if call.End != simulate.Answered {
						return false
					}
				}
				return true
			})
			slowest := c.askUntil(from.Add(lasts), ids)
			dials := wire.dials.Load() - before
			a.back(pg)
			back := time.Now()
			for _, n := range c.nodes {
				n.ready()
			}
			recovered := time.Since(back)

			t.Logf("away for %s: %d connections were tried by %d nodes, the slowest 503 took %s, they were ready again after %s",
				back.Sub(from).Round(time.Millisecond), dials, len(c.nodes), slowest.Round(time.Millisecond), recovered.Round(time.Millisecond))
			if slowest > a.answers {
				t.Errorf("a client waited %s for its 503, want at most %s", slowest, a.answers)
			}
			if recovered > recovers {
				t.Errorf("they were ready again %s after it was back, want at most %s", recovered, recovers)
			}
			if most := int64(len(c.nodes)) * (10 + int64(back.Sub(from)/time.Second)); dials > most {
				t.Errorf("%d connections were tried while it was away, want at most %d", dials, most)
			}
			for _, id := range ids {
				c.wantPaidOnce(id)
			}
			for _, n := range c.nodes {
				n.wantFewLines(from)
				n.submit(ringback.Request{Prompt: "after it all", Model: "sim/echo"})
				n.server.terminate(syscall.SIGTERM)
			}
			if calls := len(c.calls.Calls()) - len(c.nodes); calls > len(ids) {
				t.Errorf("%d calls of the provider for %d jobs: answers were paid for twice", calls, len(ids))
			}
		})
	}
}

// wantUnreadyFor waits until a node is unready and names the failing check.
func (p *place) wantUnreadyFor(check string) {
	p.t.Helper()
	eventually(p.t, "unready for its "+check, func() bool {
		resp, err := p.http.Get("http://127.0.0.1/readyz")
		must(p.t, err)
		status, _, body := read(p.t, resp)
		var r struct{ Checks map[string]string }
		must(p.t, json.Unmarshal(body, &r))
		return status == http.StatusServiceUnavailable && r.Checks[check] != "ok" && r.Checks[check] != ""
	})
}

// askUntil sends all kinds of requests to all nodes until then. All must be refused with
// 503, and a time to retry. It returns how long that took at most.
func (c *cluster) askUntil(until time.Time, ids []string) (slowest time.Duration) {
	c.t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, n := range c.nodes {
		for _, q := range []struct{ method, path, body string }{
			{http.MethodPost, "/api/generate", `{"prompt":"in vain","model":"sim/echo","callback_url":"` + c.callback + `"}`},
			{http.MethodGet, "/api/jobs/" + ids[0], ""},
			{http.MethodGet, "/api/jobs", ""},
			{http.MethodGet, "/api/nodes", ""},
			{http.MethodPost, "/api/jobs/" + ids[0] + "/cancel", ""},
		} {
			all.Go(func() {
				for time.Now().Before(until) {
					began := time.Now()
					wrong := n.refusal(q.method, q.path, q.body)
					took := time.Since(began)
					mu.Lock()
					if slowest = max(slowest, took); wrong != "" {
						c.t.Errorf("%s %s at %s, after %s: %s", q.method, q.path, n.name, took, wrong)
					}
					mu.Unlock()
					if wrong != "" {
						return
					}
					pause(c.t.Context(), 100*time.Millisecond)
				}
			})
		}
	}
	all.Wait()
	return slowest
}

// refusal returns what is wrong with a response that must be a 503.
func (p *place) refusal(method, path, body string) string {
	req, err := http.NewRequestWithContext(p.t.Context(), method, "http://127.0.0.1"+path, strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	var e ringback.Error
	if json.Unmarshal(text, &e) != nil || resp.StatusCode != http.StatusServiceUnavailable || e.Code != ringback.Unavailable || resp.Header.Get("Retry-After") == "" {
		return fmt.Sprintf("got %d %s, Retry-After %q, want 503 unavailable and a time", resp.StatusCode, compact(text), resp.Header.Get("Retry-After"))
	}
	return ""
}

// wantPaidOnce checks that a job is completed and delivered by its one attempt.
func (c *cluster) wantPaidOnce(id string) {
	c.t.Helper()
	if job := c.delivered(id); job.Status != ringback.Completed {
		c.t.Errorf("job %s is %s: %s", id, job.Status, job.Error)
	}
	if diff := cmp.Diff([]ringback.AttemptOutcome{ringback.AttemptAnswered}, c.outcomes(id)); diff != "" {
		c.t.Errorf("the ledger of job %s (-want +got):\n%s", id, diff)
	}
}

// wantFewLines checks that a node logged an outage with one line when it began, one when it
// was over, and two more about requests that had to be refused.
func (p *place) wantFewLines(from time.Time) {
	p.t.Helper()
	p.server.says("the database is reached again")
	p.server.says("submissions are refused no longer")
	said := map[string]int{}
	for _, line := range p.server.tail(1 << 20) {
		var record struct {
			Time time.Time
			Msg  string
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			p.t.Errorf("node %s logged: %s", p.name, line)
		}
		if record.Time.After(from) {
			said[record.Msg]++
		}
	}
	want := map[string]int{
		"the database can't be reached: running calls go on, nothing new is begun": 1,
		"the database is reached again":                                            1,
		"submissions are refused":                                                  1,
		"submissions are refused no longer":                                        1,
	}
	if diff := cmp.Diff(want, said); diff != "" {
		p.t.Errorf("the log of node %s (-want +got):\n%s", p.name, diff)
	}
}

// tap is a proxy to a server that counts connections.
type tap struct {
	url   string // of the database, through it
	to    string
	dials atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]bool // nil: it is closed
	all   sync.WaitGroup
}

func newTap(t *testing.T, database string) *tap {
	t.Helper()
	behind, err := url.Parse(database)
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	front := *behind
	front.Host = l.Addr().String()
	w := &tap{url: front.String(), to: behind.Host, conns: map[net.Conn]bool{}}
	w.all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			w.dials.Add(1)
			w.all.Go(func() { w.pass(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.close()
		w.all.Wait()
	})
	return w
}

// pass joins a connection to one of the server, until either ends.
func (w *tap) pass(conn net.Conn) {
	defer conn.Close()
	server, err := net.Dial("tcp", w.to)
	if err != nil {
		return // which the client sees as the end of the connection
	}
	defer server.Close()
	if !w.keep(conn, server) {
		return
	}
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{conn, server}, {server, conn}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			conn.Close()
			server.Close()
		})
	}
	both.Wait()
}

func (w *tap) keep(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		if w.conns == nil {
			return false
		}
		w.conns[c] = true
	}
	return true
}

// close ends all connections.
func (w *tap) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.Close()
	}
	w.conns = nil
}
