package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/conns"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/node"
)

// pipes is a listener whose connections are in memory, so that a server can run in a
// bubble, on its clock.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (p *pipes) dial() net.Conn {
	theirs, ours := net.Pipe()
	p.conns <- ours
	return theirs
}

// inBubble runs s, and test with connections to it.
func inBubble(t *testing.T, prepare func(s *Server), test func(t *testing.T, stop context.CancelFunc, dial func() net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{APIKey: "k"}, new(node.Node))
		if err != nil {
			t.Fatal(err)
		}
		if prepare != nil {
			prepare(s)
		}
		ctx, stop := context.WithCancel(t.Context())
		l := newPipes()
		ended := make(chan error)
		go func() { ended <- s.Run(ctx, l) }()
		test(t, stop, l.dial)
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
}

// status reads one response and returns its status line.
func status(c net.Conn) string {
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err.Error()
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.Status
}

const waitRequest = "GET /test/wait HTTP/1.1\r\nHost: x\r\nx-api-key: k\r\n\r\n"

// waiter adds a handler that waits as others wait for a job.
func waiter(took *time.Duration) func(s *Server) {
	return func(s *Server) {
		s.handle("GET /test/wait", route{method: "GET", handler: func(ctx context.Context, _ *call) (reply, error) {
			start := time.Now()
			waiting, stop := s.waiting(ctx)
			defer stop()
			select {
			case <-waiting.Done():
			case <-time.After(maxWait):
			}
			*took = time.Since(start)
			return reply{}, ctx.Err()
		}})
	}
}

func TestAWaitOutlastsTheTimesOfTheConnection(t *testing.T) {
	t.Parallel()
	var took time.Duration
	inBubble(t, waiter(&took), func(t *testing.T, _ context.CancelFunc, dial func() net.Conn) {
		c := dial()
		defer c.Close()
		_, _ = io.WriteString(c, waitRequest)
		if got := status(c); got != "200 OK" || took != maxWait {
			t.Errorf("after %v: got %s, want 200 OK after %v", took, got, maxWait)
		}
	})
}

func TestAWaitEndsWhenTheClientLeaves(t *testing.T) {
	t.Parallel()
	var took time.Duration
	inBubble(t, waiter(&took), func(t *testing.T, _ context.CancelFunc, dial func() net.Conn) {
		c := dial()
		_, _ = io.WriteString(c, waitRequest)
		time.Sleep(7 * time.Second)
		c.Close()
		synctest.Wait()
		if took != 7*time.Second {
			t.Errorf("it waited %v, want 7s", took)
		}
	})
}

func TestAWaitIsAnsweredWhenTheServerCloses(t *testing.T) {
	t.Parallel()
	var took time.Duration
	inBubble(t, waiter(&took), func(t *testing.T, stop context.CancelFunc, dial func() net.Conn) {
		c := dial()
		defer c.Close()
		_, _ = io.WriteString(c, waitRequest)
		time.AfterFunc(7*time.Second, stop)
		if got := status(c); got != "200 OK" || took != 7*time.Second {
			t.Errorf("after %v: got %s, want 200 OK after 7s", took, got)
		}
	})
}

func TestSilentConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		send  string
		after time.Duration
	}{
		"in front of the headers":     {"GET /healthz HT", conns.HeadTimeout},
		"in a body that nobody reads": {"POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n", passOverFor},
		"between two requests":        {"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", idleTimeout},
		"in a body of a GET":          {"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n", passOverFor},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, nil, func(t *testing.T, _ context.CancelFunc, dial func() net.Conn) {
				conn := dial()
				defer conn.Close()
				start := time.Now()
				go func() { _, _ = io.WriteString(conn, c.send) }()
				_, _ = io.Copy(io.Discard, conn)
				if took := time.Since(start); took < c.after || took > c.after+time.Second {
					t.Errorf("closed after %v, want %v", took, c.after)
				}
			})
		})
	}
}

// givesUp has a handler that answers over a connection of its own and returns that, and one
// that reads a body.
func givesUp(s *Server) {
	s.bodies = memory.New(1 << 30)
	s.handle("POST /test/body", route{method: "POST", open: true, body: jsonBody, handler: func(_ context.Context, c *call) (reply, error) {
		return reply{body: string(c.body)}, nil
	}})
	s.handle("GET /test/own", route{method: "GET", open: true, handler: func(context.Context, *call) (reply, error) {
		return reply{stream: func(w http.ResponseWriter, _ *http.Request) int {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
				go conn.(*conns.Conn).ComeBack()
			}
			return http.StatusNoContent
		}}, nil
	}})
}

const ownRequest = "GET /test/own HTTP/1.1\r\nHost: x\r\n\r\n"

func TestAConnectionThatComesBackIsLikeAnyOther(t *testing.T) {
	t.Parallel()
	inBubble(t, givesUp, func(t *testing.T, _ context.CancelFunc, dial func() net.Conn) {
		c := dial()
		defer c.Close()
		for range 2 {
			_, _ = io.WriteString(c, ownRequest)
			if got := status(c); got != "204 No Content" {
				t.Fatalf("got %s, want 204", got)
			}
			time.Sleep(idleTimeout - time.Second)
		}
		go func() {
			_, _ = io.WriteString(c, "POST /test/body HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n")
			time.Sleep(bodyGrace / 2)
			_, _ = io.WriteString(c, "[]")
		}()
		if got := status(c); got != "200 OK" {
			t.Errorf("a slow request: got %s, want 200", got)
		}
		_, _ = io.WriteString(c, ownRequest)
		if got := status(c); got != "204 No Content" {
			t.Fatalf("got %s, want 204", got)
		}
		start := time.Now()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || time.Since(start) != idleTimeout {
			t.Errorf("after %v: got %v, want its end after %v", time.Since(start), err, idleTimeout)
		}
	})
}

func TestConnectionsThatMayComeBackHoldUpNobody(t *testing.T) {
	t.Parallel()
	prepare := func(s *Server) { givesUp(s); s.maxConns = 2 }
	inBubble(t, prepare, func(t *testing.T, stop context.CancelFunc, dial func() net.Conn) {
		start := time.Now()
		var rest []net.Conn
		for range 3 { // for the third, the first has to go
			c := dial()
			defer c.Close()
			_, _ = io.WriteString(c, ownRequest)
			if got := status(c); got != "204 No Content" {
				t.Fatalf("got %s, want 204", got)
			}
			synctest.Wait()
			rest = append(rest, c)
		}
		if _, err := rest[0].Read(make([]byte, 1)); !errors.Is(err, io.EOF) || time.Since(start) > 0 {
			t.Errorf("the first, after %v: got %v, want its end at once", time.Since(start), err)
		}
		stop()
		for _, c := range rest[1:] {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || time.Since(start) > time.Second {
				t.Errorf("at the server's end, after %v: got %v", time.Since(start), err)
			}
		}
	})
}

// failing is a listener that fails as soon as its pipes are used up.
type failing struct{ *pipes }

func (failing) Close() error { return nil }

func TestWhereTheListenerFailsAllAreLedOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{APIKey: "k"}, new(node.Node))
		if err != nil {
			t.Fatal(err)
		}
		givesUp(s)
		l := failing{newPipes()}
		ended := make(chan error)
		go func() { ended <- s.Run(t.Context(), l) }()
		for _, request := range []string{ownRequest, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"} {
			c := l.dial()
			defer c.Close()
			_, _ = io.WriteString(c, request)
			if got := status(c); got[0] != '2' {
				t.Fatalf("got %s", got)
			}
		}
		begun := time.Now()
		close(l.done)
		if err := <-ended; !errors.Is(err, net.ErrClosed) || time.Since(begun) > time.Second {
			t.Errorf("after %v: got %v", time.Since(begun), err)
		}
	})
}

func TestHeadersHaveTheirTimeHoweverTheyDrip(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, _ context.CancelFunc, dial func() net.Conn) {
		for _, before := range []string{"", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"} {
			c := dial()
			defer c.Close()
			if before != "" {
				_, _ = io.WriteString(c, before)
				status(c)
				time.Sleep(idleTimeout / 2)
			}
			start := time.Now()
			for err := error(nil); err == nil; time.Sleep(time.Second / 2) {
				_, err = io.WriteString(c, "G")
			}
			if took := time.Since(start); took < conns.HeadTimeout || took > conns.HeadTimeout+time.Second {
				t.Errorf("behind %q: closed after %v, want %v", before, took, conns.HeadTimeout)
			}
		}
	})
}

func TestHeadersAreBounded(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, _ context.CancelFunc, dial func() net.Conn) {
		c := dial()
		defer c.Close()
		go func() {
			_, _ = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: "+strings.Repeat("x", 2*conns.MaxHead)+"\r\n\r\n")
		}()
		if got := status(c); got != "431 Request Header Fields Too Large" {
			t.Errorf("got %s, want 431", got)
		}
	})
}

// bigAnswers has a handler that answers with size bytes, on a server that has room for room
// bytes in total.
func bigAnswers(size int, room int64) func(s *Server) {
	return func(s *Server) {
		s.handle("GET /test/big", route{method: "GET", open: true, handler: func(context.Context, *call) (reply, error) {
			return reply{body: strings.Repeat("x", size)}, nil
		}})
		var taken atomic.Int64
		s.reserve = func(bytes int64) (func(), error) {
			if taken.Add(bytes) > room {
				taken.Add(-bytes)
				return nil, &ringback.Error{Code: ringback.Unavailable, Message: "full"}
			}
			return func() { taken.Add(-bytes) }, nil
		}
	}
}

func TestAnswersThatNobodyReadsDoNotUseUpTheMemory(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	const request = "GET /test/big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	inBubble(t, bigAnswers(size, 2*size), func(t *testing.T, _ context.CancelFunc, dial func() net.Conn) {
		ask := func() string {
			c := dial()
			defer c.Close()
			_, _ = io.WriteString(c, request)
			return status(c)
		}
		still := dial()
		_, _ = io.WriteString(still, request)
		synctest.Wait()
		if got := ask(); got != "503 Service Unavailable" {
			t.Errorf("while an answer is not taken: got %s, want 503", got)
		}
		still.Close()
		synctest.Wait()
		if got := ask(); got != "200 OK" {
			t.Errorf("when its reader has left: got %s, want 200 OK", got)
		}
	})
}

func TestALookUpThatTakesTooLongIsNoInternalError(t *testing.T) {
	t.Parallel()
	slow := func(s *Server) {
		s.handle("GET /test/slow", route{method: "GET", open: true, handler: func(ctx context.Context, _ *call) (reply, error) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			<-ctx.Done()
			return reply{}, fmt.Errorf("look up: %w", ctx.Err())
		}})
	}
	inBubble(t, slow, func(t *testing.T, _ context.CancelFunc, dial func() net.Conn) {
		c := dial()
		defer c.Close()
		_, _ = io.WriteString(c, "GET /test/slow HTTP/1.1\r\nHost: x\r\n\r\n")
		if got := status(c); got != "503 Service Unavailable" {
			t.Errorf("got %s, want 503", got)
		}
	})
}

func TestAReaderThatStopsIsCutOff(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	inBubble(t, bigAnswers(size, 10*size), func(t *testing.T, _ context.CancelFunc, dial func() net.Conn) {
		for pause, cut := range map[time.Duration]bool{
			answerGrace + (size/slowestRate-1)*time.Second: false,
			answerGrace + (size/slowestRate+1)*time.Second: true,
		} {
			c := dial()
			_, _ = io.WriteString(c, "GET /test/big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			_, _ = c.Read(make([]byte, 1))
			time.Sleep(pause)
			got, _ := io.ReadAll(c)
			c.Close()
			if (len(got) < size) != cut {
				t.Errorf("after a pause of %v came %d bytes", pause, len(got))
			}
		}
	})
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	var took time.Duration
	prepare := func(s *Server) {
		waiter(&took)(s)
		s.maxConns = 1
	}
	inBubble(t, prepare, func(t *testing.T, _ context.CancelFunc, dial func() net.Conn) {
		first := dial()
		_, _ = io.WriteString(first, "GET /api/nothing HTTP/1.1\r\nHost: x\r\nx-api-key: k\r\nConnection: close\r\n\r\n")
		synctest.Wait() // until its answer is being sent
		time.AfterFunc(20*time.Second, func() { _, _ = io.Copy(io.Discard, first); first.Close() })
		start := time.Now()
		second := dial() // is accepted once the first has ended
		defer second.Close()
		go func() { _, _ = io.WriteString(second, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") }()
		if got := status(second); got != "200 OK" || time.Since(start) < 20*time.Second {
			t.Errorf("after %v: got %s, want 200 OK after 20s", time.Since(start), got)
		}
	})
}

// A connection that waits for a request, or sends one byte by byte, is evicted for another
// one; one that is being served is not.
func TestTheConnectionThatIsQuietForLongestGivesWay(t *testing.T) {
	t.Parallel()
	var took time.Duration
	prepare := func(s *Server) {
		waiter(&took)(s)
		s.maxConns = 3
	}
	inBubble(t, prepare, func(t *testing.T, _ context.CancelFunc, dial func() net.Conn) {
		const request = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
		waits, idle, drips := dial(), dial(), dial()
		_, _ = io.WriteString(waits, waitRequest)
		_, _ = io.WriteString(idle, request)
		if got := status(idle); got != "200 OK" {
			t.Fatalf("the idle one: got %s, want 200 OK", got)
		}
		synctest.Wait()
		_, _ = io.WriteString(drips, "GET /healthz HT")
		synctest.Wait()
		start := time.Now()
		for range 2 {
			c := dial()
			defer c.Close()
			_, _ = io.WriteString(c, request)
			if got := status(c); got != "200 OK" || time.Since(start) > 0 {
				t.Errorf("one more, after %v: got %s, want 200 OK at once", time.Since(start), got)
			}
		}
		for name, c := range map[string]net.Conn{"the idle one": idle, "the dripping one": drips} {
			if _, err := c.Read(make([]byte, 1)); err == nil || time.Since(start) > 0 {
				t.Errorf("%s, after %v: got %v, want its end at once", name, time.Since(start), err)
			}
		}
		if got := status(waits); got != "200 OK" || took != maxWait {
			t.Errorf("the waiting one, after %v: got %s, want 200 OK after %v", took, got, maxWait)
		}
		waits.Close()
	})
}

// A refusal arrives although the request is still being sent: the server first closes its
// half, otherwise the kernel would discard the response with the rest.
func TestARefusalArrivesInTheMiddleOfARequest(t *testing.T) {
	t.Parallel()
	s, err := New(Config{APIKey: "k"}, new(node.Node))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx, l) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: "+strings.Repeat("x", 4*conns.MaxHead))
	if got, err := io.ReadAll(c); err != nil || !strings.Contains(string(got), "431 Request Header Fields Too Large") {
		t.Errorf("got %q, %v, want 431 and then the end", got, err)
	}
	c.Close()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run returned %v", err)
	}
}

// The refusal is sent before a byte of the body is read, and is not lost although the
// client is still sending.
func TestAStrangersBodyIsNotReadBeforeItsRefusal(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, _ context.CancelFunc, dial func() net.Conn) {
		start := time.Now()
		for range 3 * strangersPassed {
			for _, target := range []string{"POST /api/generate", "POST /v1/messages", "PUT /nothing", "GET /healthz"} {
				c := dial()
				defer c.Close()
				_, _ = io.WriteString(c, target+" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{")
				want := "401 Unauthorized"
				if target == "GET /healthz" {
					want = "200 OK"
				}
				if got := status(c); got != want || time.Since(start) > 0 {
					t.Fatalf("%s after %v: got %s, want %s at once", target, time.Since(start), got, want)
				}
			}
		}
	})
}
