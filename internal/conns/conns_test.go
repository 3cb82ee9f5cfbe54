package conns_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/ringback/ringback/internal/conns"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const tooLarge = "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

// server is a real one behind one of our listeners. /key presents a key, /busy stays until
// it is released.
type server struct {
	t       *testing.T
	addr    string
	log     *safeBuffer
	metrics *prometheus.Registry
	goOn    chan struct{}
	served  atomic.Int64
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func serve(t *testing.T, most int, wrap func(net.Listener) net.Listener) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &server{t: t, addr: l.Addr().String(), log: &safeBuffer{}, metrics: prometheus.NewRegistry(), goOn: make(chan struct{})}
	if wrap != nil {
		l = wrap(l)
	}
	bounded := conns.New(l, conns.Config{
		Most: most, IdleTimeout: time.Minute, TooLarge: []byte(tooLarge), Logger: slog.New(slog.NewTextHandler(s.log, nil)), Metrics: conns.NewMetrics(s.metrics),
	})
	h := &http.Server{ReadHeaderTimeout: conns.HeadTimeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.served.Add(1)
		switch r.URL.Path {
		case "/key":
			conns.Of(r).Trust()
		case "/busy":
			conns.Of(r).Trust()
			<-s.goOn
		}
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %d", r.Method, r.URL.Path, len(body))
	})}
	bounded.Watch(h)
	ended := make(chan error, 1)
	go func() { ended <- h.Serve(bounded) }()
	t.Cleanup(func() {
		must(t, h.Close())
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
		bounded.Close()
		bounded.Wait()
	})
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// metric returns the value of a metric with this label; "": without labels.
func (s *server) metric(name, label string) float64 {
	s.t.Helper()
	families, err := s.metrics.Gather()
	must(s.t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	s.t.Fatalf("there is no %s{%s}", name, label)
	return 0
}

// eventually asks again and again until something has come that nobody is told of.
func (s *server) eventually(what string, come func() bool) {
	s.t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !come() {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("%s: not within 20 s", what)
		}
	}
}

func (s *server) dial() *client {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	must(s.t, err)
	s.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{c, bufio.NewReader(c)}
}

type client struct {
	net.Conn
	in *bufio.Reader
}

// answer reads one answer, or returns the error of reading it.
func (c *client) answer() string {
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err.Error()
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	if resp.StatusCode != http.StatusOK {
		return resp.Status
	}
	return string(body)
}

func (c *client) ask(request string) string {
	_, _ = io.WriteString(c, request)
	return c.answer()
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" }

func post(body string) string {
	return fmt.Sprintf("POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func TestRequestsArriveWhereverTheyAreTorn(t *testing.T) {
	t.Parallel()
	s := serve(t, 10, nil)
	c := s.dial()
	small, large := strings.Repeat("a\n\r\n", 300), strings.Repeat("\r\n\r\n", 20_000)
	for _, r := range []struct{ request, want string }{
		{get("/a"), "GET /a 0"}, {post(small), "POST /post 1200"}, {get("/b"), "GET /b 0"},
		{post(large), "POST /post 80000"}, {post("x"), "POST /post 1"}, {get("/" + strings.Repeat("l", 9000)), "GET /" + strings.Repeat("l", 9000) + " 0"},
	} {
		for _, size := range []int{1, 3, 700, 5000, 1 << 20} {
			if size < 100 && len(r.request) > 2000 {
				continue
			}
			for rest := r.request; rest != ""; {
				n := min(size, len(rest))
				_, err := io.WriteString(c, rest[:n])
				must(t, err)
				rest = rest[n:]
			}
			if got := c.answer(); got != r.want {
				t.Fatalf("%.30q in pieces of %d: got %.100q", r.request, size, got)
			}
		}
	}
}

func TestAHeadThatIsTooLargeIsRefusedBeforeItIsParsed(t *testing.T) {
	t.Parallel()
	s := serve(t, 10, nil)
	for name, request := range map[string]string{
		"a long header": "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("x", conns.MaxHead),
		"tiny headers":  "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("a:\n", conns.MaxHeaders+2),
		"a long URL":    "GET /" + strings.Repeat("x", conns.MaxHead),
	} {
		for _, before := range []string{"", get("/first"), post("body\n\n")} {
			c := s.dial()
			if before != "" {
				c.ask(before)
			}
			served := s.served.Load()
			if got := c.ask(request); !strings.HasPrefix(got, "431") || s.served.Load() != served {
				t.Errorf("%s behind %.10q: got %.100q", name, before, got)
			}
		}
	}
}

// The head of a request that is sent too early would not be bounded.
func TestARequestBehindAnotherOneEndsTheConnection(t *testing.T) {
	t.Parallel()
	s := serve(t, 10, nil)
	tiny := "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("a:\n", 1000)
	for _, first := range []string{get("/a"), post("b"), "POST /post HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"} {
		c := s.dial()
		_, _ = io.WriteString(c, first+tiny)
		c.answer()
		if got := c.answer(); !strings.Contains(got, "EOF") && !strings.Contains(got, "reset") {
			t.Errorf("behind %.20q: got %q, want the end", first, got)
		}
	}
}

func TestStrangersGiveWayToEverybodyElse(t *testing.T) {
	t.Parallel()
	s := serve(t, 4, nil)
	known := s.dial()
	known.ask(get("/key"))
	busy := s.dial()
	_, _ = io.WriteString(busy, get("/busy"))
	s.eventually("a busy request", func() bool { return s.served.Load() >= 2 })
	for range 50 { // strangers that send half a head, nothing, or a request without a key
		half := s.dial()
		_, _ = io.WriteString(half, "GET / HT")
		s.dial()
		if got := s.dial().ask(get("/")); got != "GET / 0" {
			t.Fatalf("among strangers: got %q", got)
		}
	}
	if got := known.ask(get("/key")); got != "GET /key 0" {
		t.Errorf("one that had shown a key: got %q", got)
	}
	close(s.goOn)
	if got := busy.answer(); got != "GET /busy 0" {
		t.Errorf("one that was being served: got %q", got)
	}
	if n := s.metric("ringback_connections", ""); n != 4 {
		t.Errorf("%v connections are open, want 4", n)
	}
}

// failing is a listener whose Accept fails as long as there are errors.
type failing struct {
	net.Listener
	errs chan error
}

func (f failing) Accept() (net.Conn, error) {
	select {
	case err := <-f.errs:
		return nil, &net.OpError{Op: "accept", Err: err}
	default:
		return f.Listener.Accept()
	}
}

func TestWithoutDescriptorsIdleConnectionsAreClosedAndItIsSaidOnce(t *testing.T) {
	t.Parallel()
	errs := make(chan error, 100)
	s := serve(t, 100, func(l net.Listener) net.Listener { return failing{l, errs} })
	var idle []*client
	for range 3 {
		c := s.dial()
		c.ask(get("/key"))
		idle = append(idle, c)
	}
	for range 5 {
		errs <- syscall.EMFILE
		errs <- syscall.ECONNABORTED
		errs <- syscall.ENOBUFS
	}
	s.dial().ask(get("/")) // the accept that is waiting is not one of those that fail
	if got := s.dial().ask(get("/")); got != "GET / 0" {
		t.Errorf("got %q", got)
	}
	for _, c := range idle {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("an idle connection is still open")
		}
	}
	if n := strings.Count(s.log.String(), "cannot be accepted"); n != 1 {
		t.Errorf("it was logged %d times:\n%s", n, s.log)
	}
	for reason, want := range map[string]float64{"aborted": 5, "memory": 5, "process_descriptors": 5, "system_descriptors": 0} {
		if got := s.metric("ringback_accept_errors_total", reason); got != want {
			t.Errorf("%s: counted %v, want %v", reason, got, want)
		}
	}
}

func TestTheNumberOfConnectionsFollowsMemoryAndDescriptors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		memory, descriptors, own int64
		want                     int
	}{
		{0, 0, 900, 16_384}, {512 << 20, 0, 900, 2048}, {2 << 30, 0, 900, 8192}, {8 << 30, 1 << 20, 900, 16_384},
		{8 << 30, 1024, 900, 256}, {8 << 30, 4096, 900, 3196}, {8 << 30, 2, 900, 1}, {1 << 20, 1024, 0, 64},
	} {
		if got := conns.Most(test.memory, test.descriptors, test.own); got != test.want {
			t.Errorf("%d bytes, %d descriptors less %d: got %d, want %d", test.memory, test.descriptors, test.own, got, test.want)
		}
	}
}
