//go:build siege

package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/ringback/ringback/internal/simulate"
)

const apiKey = "the-key-of-the-honest"

// locked makes a world whose server requires a key, with this much memory.
func locked(t *testing.T, memory string) *world {
	w := newWorld(t, setup{provider: simulate.NewProvider(simulate.ProviderConfig{})})
	w.env = append(w.env, "RINGBACK_API_KEY="+apiKey, "GOMEMLIMIT="+memory)
	return w
}

// A stranger is what a client without a key does with a connection until it ends.
type stranger struct {
	name string
	do   func(c net.Conn)
}

func says(name, text string) stranger {
	return stranger{name, func(c net.Conn) { _, _ = io.WriteString(c, text); _, _ = io.Copy(io.Discard, c) }}
}

func drips(name, begin, drop string) stranger {
	return stranger{name, func(c net.Conn) {
		for _, err := io.WriteString(c, begin); err == nil; _, err = io.WriteString(c, drop) {
			time.Sleep(time.Second + time.Duration(rand.IntN(1000))*time.Millisecond)
		}
	}}
}

// deaf sends a request and reads nothing.
func deaf(name, text string) stranger {
	return stranger{name, func(c net.Conn) {
		_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		_, _ = io.WriteString(c, text)
		time.Sleep(10 * time.Second)
	}}
}

var strangers = []stranger{
	says("silence", ""),
	says("half a head of 60 KiB", "GET / HTTP/1.1\r\nHost: x\r\nA: "+strings.Repeat("a", 60<<10)),
	says("half a head of 15 KiB", "GET / HTTP/1.1\r\nHost: x\r\nA: "+strings.Repeat("a", 15<<10)),
	says("7,000 tiny headers", "GET / HTTP/1.1\r\nHost: x\r\n"+strings.Repeat("a:\n", 7000)),
	says("tiny headers behind another request", getOf("/healthz", localHost)+"GET / HTTP/1.1\r\n"+strings.Repeat("a:\n", 1300)),
	drips("a head that drips", "GET /?", "x"),
	drips("a body that drips", "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n", "x"),
	says("a body without a key", "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n"+strings.Repeat("x", 1<<20)),
	says("a provider's path", "POST /v1/messages HTTP/1.1\r\nHost: x\r\nX-Api-Key: wrong\r\nContent-Length: 8000000\r\n\r\n"+strings.Repeat("x", 1<<18)),
	deaf("answers that nobody reads", strings.Repeat(getOf("/docs/swagger-ui-bundle.js", localHost), 3)),
	deaf("an unread document", getOf("/openapi.json", localHost)),
}

// flood keeps that many connections of strangers open until ctx ends, and opens at most
// perSecond a second.
func flood(ctx context.Context, addr string, connections int, perSecond int, seen *atomic.Int64) error {
	var g errgroup.Group
	places := make(chan struct{}, connections)
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for n := 0; ctx.Err() == nil; {
		<-pace.C
		for range perSecond / 100 {
			select {
			case places <- struct{}{}:
			default:
				continue
			}
			s := strangers[n%len(strangers)]
			n++
			g.Go(func() error {
				defer func() { <-places }()
				c, err := dial(ctx, addr) // is closed when ctx ends
				if err == nil {
					seen.Add(1)
					s.do(c)
					_ = c.Close()
				}
				return nil
			})
		}
	}
	return g.Wait()
}

// honest submits jobs of 2 KB until then, and returns how long each 202 took.
func (w *world) honest(ctx context.Context, i int, until time.Time) (took []time.Duration, err error) {
	body := []byte(fmt.Sprintf(`{"prompt":%q,"model":"sim/echo","callback_url":%q}`, strings.Repeat("x", 2000), w.callback))
	h := w.http
	pace := time.NewTicker(100 * time.Millisecond)
	defer pace.Stop()
	for n := 0; time.Now().Before(until); n++ {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1/api/generate", bytes.NewReader(body))
		if err != nil {
			return took, err
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Api-Key", apiKey)
		r.Close = n%10 == i%10 // from time to time over a new connection
		begun := time.Now()
		resp, err := h.Do(r)
		if err != nil {
			return took, fmt.Errorf("caller %d, request %d: %w", i, n, err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		took = append(took, time.Since(begun))
		if resp.StatusCode != http.StatusAccepted {
			return took, fmt.Errorf("caller %d, request %d: got %s %s", i, n, resp.Status, text)
		}
		<-pace.C
	}
	return took, nil
}

// callers runs twenty honest callers.
func (w *world) callers(lasts time.Duration) (all []time.Duration, err error) {
	var mu sync.Mutex
	var g errgroup.Group
	until := time.Now().Add(lasts)
	for i := range 20 {
		g.Go(func() error {
			took, err := w.honest(w.t.Context(), i, until)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			return err
		})
	}
	err = g.Wait()
	return all, err
}

// residentMost watches how much a process has in RAM, until ctx ends.
func residentMost(ctx context.Context, pid int) (most int) {
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return most
		}
		for line := range strings.Lines(string(text)) {
			var kib int
			if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kib); err == nil {
				most = max(most, kib>>10)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return most
		}
	}
}

// A server with few descriptors admits few connections, and serves those it has.
func TestConnectionsLeaveDescriptorsForTheServer(t *testing.T) {
	w := locked(t, "512MiB")
	w.command = slices.Concat([]string{"sh", "-c", `ulimit -n 300; exec "$0" "$@"`}, w.command)
	s := w.start()
	w.ready()
	s.says(`"connections":75,`) // a quarter of 300
	for range 400 {
		c, err := dial(t.Context(), w.address())
		must(t, err)
		_, _ = io.WriteString(c, "GET /healthz HT")
	}
	took, err := w.honest(t.Context(), 0, time.Now().Add(time.Second))
	must(t, err)
	if p99(took) > time.Second {
		t.Errorf("p99 is %s", p99(took))
	}
	if n := s.footprint(t).descriptors; n > 200 {
		t.Errorf("%d descriptors are open", n)
	}
}

// When there is suddenly no descriptor left, idle connections are closed, and the server
// says so, once, and in its metrics.
func TestAServerThatRunsOutOfDescriptorsStaysAlive(t *testing.T) {
	w := locked(t, "512MiB")
	s := w.start()
	w.ready()
	for range 200 {
		c, err := dial(t.Context(), w.address())
		must(t, err)
		_, err = io.WriteString(c, getOf("/healthz", localHost))
		must(t, err)
	}
	must(t, unix.Prlimit(s.cmd.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 100, Max: 100}, nil))
	for range 100 {
		h := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
		resp, err := h.Get(w.url() + "/healthz")
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("/healthz: got %s", resp.Status)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url()+"/metrics", nil)
	must(t, err)
	r.Header.Set("X-Api-Key", apiKey)
	resp, err := http.DefaultClient.Do(r)
	must(t, err)
	defer http.DefaultClient.CloseIdleConnections()
	_, _, text := read(t, resp)
	if !bytes.Contains(text, []byte(`ringback_accept_errors_total{reason="process_descriptors"}`)) || bytes.Contains(text, []byte(`{reason="process_descriptors"} 0`)) {
		t.Error("the metrics count no accept that failed")
	}
	if n := strings.Count(strings.Join(s.tail(1000), "\n"), "connections cannot be accepted"); n != 1 {
		t.Errorf("it was logged %d times, want once", n)
	}
}
