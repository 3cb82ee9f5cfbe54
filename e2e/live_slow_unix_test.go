//go:build unix

package e2e_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/simulate"
)

// measures returns what /metrics shows, by name and labels as written there.
func (d *endpoint) measures(t *testing.T) map[string]float64 {
	t.Helper()
	resp, err := d.http.Get("http://127.0.0.1/metrics")
	must(t, err)
	_, _, body := read(t, resp)
	all := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		at := strings.LastIndexByte(line, ' ')
		if v, err := strconv.ParseFloat(strings.TrimSpace(line[at+1:]), 64); err == nil {
			all[line[:at]] = v
		}
	}
	return all
}

const (
	sseReaders       = `ringback_stream_readers{transport="sse"}`
	webSocketReaders = `ringback_stream_readers{transport="websocket"}`
	sseCut           = `ringback_stream_readers_cut_total{transport="sse"}`
	webSocketCut     = `ringback_stream_readers_cut_total{transport="websocket"}`
)

// readers returns how many readers are watching jobs at a server.
func (d *endpoint) readers(t *testing.T) int {
	t.Helper()
	m := d.measures(t)
	return int(m[sseReaders] + m[webSocketReaders])
}

// stallConn is a connection from which nothing more is read after that many bytes, until it
// continues.
type stallConn struct {
	net.Conn

	left int
	goOn <-chan struct{}
}

// stall stalls the first connection.
func stall(bytes int, goOn <-chan struct{}) func(int, net.Conn) net.Conn {
	return func(connection int, c net.Conn) net.Conn {
		if connection > 0 {
			return c
		}
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(4 << 10) // the smaller the system's buffer, the sooner it shows
		}
		return &stallConn{c, bytes, goOn}
	}
}

func (c *stallConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		<-c.goOn
	}
	n, err := c.Conn.Read(p)
	c.left -= n
	return n, err
}

// Two readers that stop reading cost others nothing: not the job, and not its other
// readers. They are cut off, told where to continue, and get the right answer.
func TestReadersThatReadNoMoreCostOnlyThemselves(t *testing.T) {
	t.Parallel()
	prompt := utterance("a flood", 60_000)
	start := newBarrier(1, prompt)
	w := newWorld(t, setup{barrier: start})
	w.start()
	w.ready()
	id := w.submit(ringback.Request{Stream: true, Prompt: prompt, Model: "sim/echo"})
	w.call(func(c simulate.Call) bool { return c.Prompt == prompt && c.Words >= 1 })

	goOn := make(chan struct{})
	brisk := []*viewer{{over: []transport{sseByHeader}}, {over: []transport{webSocket}}, {over: []transport{goClient}}}
	slow := []*viewer{
		{over: []transport{sseByHeader}, wrap: stall(10_000, goOn)},
		{over: []transport{webSocket}, wrap: stall(10_000, goOn)},
	}
	var theBrisk, theSlow errgroup.Group
	for group, viewers := range map[*errgroup.Group][]*viewer{&theBrisk: brisk, &theSlow: slow} {
		for _, v := range viewers {
			v.endpoint, v.job = w.endpoint, id
			group.Go(func() error { return v.watch(t.Context()) })
		}
	}
	eventually(t, "five readers", func() bool { return w.readers(t) == len(brisk)+len(slow) })
	began := time.Now()
	start.lift()
	must(t, theBrisk.Wait())
	took := time.Since(began)
	job := w.ended(id)
	if m := w.measures(t); m[sseReaders] != 1 || m[webSocketReaders] != 1 || m[sseCut]+m[webSocketCut] > 0 {
		t.Errorf("when the job and the others were through (%s), %v and %v slow readers were there, and %v were cut off; want both, and none",
			took, m[sseReaders], m[webSocketReaders], m[sseCut]+m[webSocketCut])
	}
	eventually(t, "the slow reader over SSE is cut off", func() bool { return w.measures(t)[sseCut] == 1 })
	time.Sleep(time.Second) // the last chance for the one over WebSocket to read why
	close(goOn)
	must(t, theSlow.Wait())
	t.Logf("%s of the last attempt, with two readers that read nothing; they were cut off with: %v; %v", took, slow[0].losses, slow[1].losses)
	for _, v := range append(brisk, slow...) {
		v.wantEnd(t, job)
		v.wantSame(t, brisk[0])
	}
	if lost := slow[1].losses; len(lost) != 1 || websocket.CloseStatus(lost[0]) != websocket.StatusTryAgainLater || !strings.Contains(lost[0].Error(), "resume with ?after=") {
		t.Errorf("the slow reader over WebSocket was cut off with %v, want 1013 and how to resume", lost)
	}
	if m := w.measures(t); m[sseCut] != 1 || m[webSocketCut] != 1 {
		t.Errorf("%v and %v readers were cut off, want one of each transport", m[sseCut], m[webSocketCut])
	}
	eventually(t, "nobody watches", func() bool { return w.readers(t) == 0 })
}

// openReaders opens that many raw connections that watch a job, half of them WebSockets, and
// returns when all have their response.
func (d *endpoint) openReaders(t *testing.T, n int, job string) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, n)
	var g errgroup.Group
	g.SetLimit(16)
	for i := range conns {
		g.Go(func() (err error) {
			for { // a server with much to do may refuse: try again
				var status int
				if conns[i], status, err = d.openRaw(job, i%2 == 1); err != nil || status < 400 {
					return err
				}
				conns[i].Close()
				if status != http.StatusServiceUnavailable {
					return fmt.Errorf("watch job %s: %d", job, status)
				}
			}
		})
	}
	must(t, g.Wait())
	return conns
}

// openRaw watches a job over a bare connection, reading only the head of the response.
func (d *endpoint) openRaw(job string, webSocket bool) (net.Conn, int, error) {
	path, header := "stream", ""
	if webSocket {
		path = "ws"
		header = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	}
	c, err := net.Dial("tcp", d.address())
	if err != nil {
		return nil, 0, err
	}
	fmt.Fprintf(c, "GET /api/jobs/%s/%s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n", job, path, header)
	resp, err := http.ReadResponse(bufio.NewReaderSize(c, 16), nil)
	if err != nil {
		c.Close()
		return nil, 0, err
	}
	return c, resp.StatusCode, nil
}

// vanish closes all at once, half of them by a reset.
func vanish(conns []net.Conn) {
	var all sync.WaitGroup
	for i, c := range conns {
		if tcp, ok := c.(*net.TCPConn); ok && i/2%2 == 0 {
			_ = tcp.SetLinger(0)
		}
		all.Go(func() { c.Close() })
	}
	all.Wait()
}

// footing is what a server uses when nobody watches.
type footing struct{ goroutines, descriptors, heap, resident int }

func (f footing) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d MiB of heap in use, %d MiB resident", f.goroutines, f.descriptors, f.heap, f.resident)
}

func (w *world) footing(s *server) footing {
	w.t.Helper()
	m := w.measures(w.t)
	return footing{int(m["go_goroutines"]), int(m["process_open_fds"]), s.heap(), int(m["process_resident_memory_bytes"]) >> 20}
}

// calm waits until a server uses no more than before: a few connections with their
// goroutines, and some heap, come and go.
func (w *world) calm(s *server, was footing) footing {
	w.t.Helper()
	var is footing
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("at last it took %s; before, %s", is, was)
		}
	})
	eventually(w.t, "goroutines, descriptors and heap are where they were", func() bool {
		is = w.footing(s)
		return is.goroutines <= was.goroutines+10 && is.descriptors <= was.descriptors+10 && is.heap <= was.heap+8
	})
	return is
}

// Thousands of readers vanish at once without leaving anything behind; a reader that stays,
// and the job, do not notice.
func TestNothingIsLeftOfReadersThatVanish(t *testing.T) {
	t.Parallel()
	n := 1000
	if long {
		n = 5000
	}
	w := newWorld(t, setup{})
	w.env = append(w.env, gcTrace...)
	s := w.start()
	w.ready()
	id := w.submit(ringback.Request{Stream: true, Prompt: "watched by many", Model: "sim/endless?pace=1s"})
	stays := &viewer{endpoint: w.endpoint, job: id, over: []transport{sseByHeader}}
	var staying errgroup.Group
	staying.Go(func() error { return stays.watch(t.Context()) })
	vanish(w.openReaders(t, 50, id)) // one-time allocations are done now
	eventually(t, "one reader", func() bool { return w.readers(t) == 1 })

	was := w.footing(s)
	var during, after []footing
	for range 3 {
		open := w.openReaders(t, n, id)
		// Some of the WebSockets may already have been given up: they answer no ping.
		if got := int(w.measures(t)[sseReaders]); got != n/2+1 {
			t.Errorf("%d readers over SSE are there, want %d", got, n/2+1)
		}
		during = append(during, w.footing(s))
		vanish(open)
		eventually(t, "one reader", func() bool { return w.readers(t) == 1 })
		after = append(after, w.calm(s, was))
	}
	t.Logf("before: %s; with %d readers: %v; behind them: %v", was, n, during, after)
	// Freed memory is returned to the system gradually.
	if most, last := during[0].resident, after[2].resident; last > most*5/4 {
		t.Errorf("%d MiB were resident with the first readers, %d MiB behind the third ones: it grows", most, last)
	}
	if _, err := w.api.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	must(t, staying.Wait())
	stays.wantEnd(t, w.ended(id))
	if stays.connections != 1 {
		t.Errorf("the reader that stayed had %d connections, want one", stays.connections)
	}
}

// A storm of readers on a job that has ended: all get it, without leaving anything behind.
func TestAStormOfReadersOnAFinishedJob(t *testing.T) {
	t.Parallel()
	n := 1000
	if long {
		n = 5000
	}
	w := newWorld(t, setup{})
	w.env = append(w.env, gcTrace...)
	s := w.start()
	w.ready()
	id := w.submit(ringback.Request{Stream: true, Prompt: utterance("once", 50), Model: "sim/blocks"})
	job := w.ended(id)
	storm := func(n int) {
		t.Helper()
		var g errgroup.Group
		for i := range n {
			v := &viewer{endpoint: w.endpoint, job: id, over: []transport{transports[i%len(transports)]}}
			g.Go(func() error {
				if err := v.watch(t.Context()); err != nil {
					return err
				}
				v.wantEnd(t, job)
				return nil
			})
		}
		must(t, g.Wait())
	}
	storm(20)
	was := w.footing(s)
	began := time.Now()
	storm(n)
	t.Logf("%d readers at once have read %d bytes of answer each in %s", n, len(*job.Result), time.Since(began))
	eventually(t, "nobody watches", func() bool { return w.readers(t) == 0 })
	t.Logf("before: %s; behind it: %s", was, w.calm(s, was))
}
