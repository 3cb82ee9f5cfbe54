package webhook

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/sse"
)

// script returns events one by one, as its channel does, then the end.
type script struct {
	events chan ringback.StreamEvent

	mu   sync.Mutex
	sent []ringback.EventID
}

// say returns a script of n deltas. It ends after them, unless it is open.
func say(n int, open bool) *script {
	s := &script{events: make(chan ringback.StreamEvent, n)}
	for i := range n {
		s.events <- delta(i+1, fmt.Sprint("piece ", i+1, "\n"))
	}
	if !open {
		close(s.events)
	}
	return s
}

func delta(number int, text string) ringback.StreamEvent {
	return ringback.StreamEvent{
		Type: ringback.EventDelta, JobID: "job", EventID: ringback.EventID{Attempt: 1, Number: int64(number)},
		Delta: &ringback.Delta{Kind: ringback.DeltaText, Text: text},
	}
}

func (s *script) next(ctx context.Context) ([]ringback.StreamEvent, error) {
	select {
	case e, ok := <-s.events:
		if !ok {
			return nil, io.EOF
		}
		return []ringback.StreamEvent{e}, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (s *script) left(id ringback.EventID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, id)
}

// last returns the last id that was sent.
func (s *script) last() (id ringback.EventID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sent) > 0 {
		id = s.sent[len(s.sent)-1]
	}
	return id
}

func streamTo(url string, s *script) Stream {
	if s == nil {
		s = say(1, false)
	}
	return Stream{ID: "job.1", URL: url, Secrets: []ringback.Secret{testSecret}, Next: s.next, Sent: s.left}
}

// overWebSocket returns the URL of a server for messages.
func overWebSocket(url string) string { return "ws" + strings.TrimPrefix(url, "http") }

// socketReceiver accepts WebSockets.
func socketReceiver(t *testing.T, take func(*http.Request, *websocket.Conn)) string {
	r := receiver(t, func(w http.ResponseWriter, req *http.Request) {
		c, err := websocket.Accept(w, req, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		take(req, c)
	})
	return overWebSocket(r.URL)
}

func TestAStreamIsOneSignedRequestThatStaysOpen(t *testing.T) {
	s := say(0, true)
	s.events = make(chan ringback.StreamEvent)
	got := make(chan sse.Event)
	header := make(chan http.Header, 1)
	r := receiver(t, func(_ http.ResponseWriter, req *http.Request) {
		header <- req.Header
		for e, err := range sse.Read(req.Body, sse.Limits{}) {
			if err != nil {
				t.Error(err)
				return
			}
			e.Data = append([]byte(nil), e.Data...)
			got <- e
		}
	})
	sender := newSender(t, SenderConfig{UserAgent: "Ringback/1.2.3"})
	m := streamTo(r.URL, s)
	m.Header, m.Last = http.Header{"Authorization": {"Bearer x"}}, ringback.EventID{Attempt: 1, Number: 4}
	done := make(chan Result, 1)
	go func() { done <- sender.Push(t.Context(), m) }()
	for i := 5; i < 8; i++ { // each has arrived before the next one is sent
		want := delta(i, "a\nb")
		s.events <- want
		e := <-got
		var event ringback.StreamEvent
		if err := json.Unmarshal(e.Data, &event); err != nil || e.ID != fmt.Sprint("1-", i) || e.Type != "job.delta" || event.Text != "a\nb" {
			t.Fatalf("got %s %s %s, %v", e.ID, e.Type, e.Data, err)
		}
	}
	close(s.events)
	if res := <-done; res.Verdict != Delivered || res.StatusCode != 200 || res.Cause != nil || !res.Remote.IsValid() {
		t.Errorf("got %+v", res)
	}
	if s.last().Number != 7 {
		t.Errorf("the last that left: got %s", s.last())
	}
	h := <-header
	if err := ringback.Verify(h, nil, testSecret); err != nil {
		t.Errorf("Verify over an empty body: %v", err)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Authorization": "Bearer x", "Last-Event-Id": "1-4", "User-Agent": "Ringback/1.2.3", "Webhook-Id": "job.1",
	} {
		if h.Get(name) != want {
			t.Errorf("%s: got %q, want %q", name, h.Get(name), want)
		}
	}
}

func TestAReceiverMayAnswerFirstAndReadOn(t *testing.T) {
	s := say(20, false)
	var got int
	r := receiver(t, func(w http.ResponseWriter, req *http.Request) {
		c := http.NewResponseController(w)
		if err := errors.Join(c.EnableFullDuplex(), c.Flush()); err != nil {
			t.Error(err)
		}
		for range sse.Read(req.Body, sse.Limits{}) {
			got++
		}
		io.WriteString(w, "thanks")
	})
	if res := newSender(t, SenderConfig{}).Push(t.Context(), streamTo(r.URL, s)); res.Verdict != Delivered || res.Cause != nil {
		t.Errorf("got %+v", res)
	}
	if got != 20 {
		t.Errorf("the receiver got %d events, want 20", got)
	}
}

func TestAReceiverThatHasEnoughIsNotAskedAgain(t *testing.T) {
	for name, url := range map[string]string{
		"an answer before the end": receiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }).URL,
		"a normal close":           socketReceiver(t, func(_ *http.Request, c *websocket.Conn) { c.Close(websocket.StatusNormalClosure, "") }),
	} {
		t.Run(name, func(t *testing.T) {
			res := newSender(t, SenderConfig{}).Push(t.Context(), streamTo(url, say(1, true)))
			if res.Verdict != Delivered || !errors.Is(res.Cause, ErrHadEnough) {
				t.Errorf("got %+v", res)
			}
		})
	}
}

func TestAStreamThatIsRefused(t *testing.T) {
	for code, want := range map[int]Verdict{
		204: Delivered, 302: Dead, 307: Dead, 400: Dead, 401: Dead, 404: Dead, 408: Retry, 410: Dead, 413: Dead, 415: Dead, 429: Retry, 500: Retry, 503: Retry,
	} {
		var asked []string
		var mu sync.Mutex
		r := receiver(t, func(w http.ResponseWriter, req *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, req.URL.Path)
			w.Header().Set("Location", "/elsewhere")
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(code)
		})
		s := newSender(t, SenderConfig{})
		for _, url := range []string{r.URL, overWebSocket(r.URL)} {
			want := want
			if code == 204 && url != r.URL {
				want = Dead // no WebSocket
			}
			res := s.Push(t.Context(), streamTo(url+"/live", say(1, true)))
			if res.Verdict != want || res.StatusCode != code {
				t.Errorf("%d at %s: got %+v, want %s", code, url, res, want)
			}
			if code == 429 && res.RetryAfter != 7*time.Second {
				t.Errorf("RetryAfter: got %s", res.RetryAfter)
			}
		}
		if len(asked) != 2 || asked[0] != "/live" || asked[1] != "/live" {
			t.Errorf("%d: the receiver saw %q", code, asked)
		}
	}
}

// A receiver that reads nothing delays only its own stream, and not for long.
func TestAReceiverThatReadsNothingIsCutOff(t *testing.T) {
	hang := make(chan struct{})
	silent := rawReceiver(t, func(_ *net.TCPConn, in *bufio.Reader) {
		http.ReadRequest(in) // and not its body
		<-hang
	})
	socket := socketReceiver(t, func(*http.Request, *websocket.Conn) { <-hang })
	t.Cleanup(func() { close(hang) }) // before those that wait for it
	for _, url := range []string{silent, socket} {
		s := &script{events: make(chan ringback.StreamEvent)}
		number := 0
		m := streamTo(url, s)
		m.Next = func(context.Context) ([]ringback.StreamEvent, error) { // without end
			number++
			return []ringback.StreamEvent{delta(number, strings.Repeat("x", 64<<10))}, nil
		}
		began := time.Now()
		res := newSender(t, SenderConfig{Timeout: shortTimeout}).Push(t.Context(), m)
		if res.Verdict != Retry || !errors.Is(res.Cause, ErrStalled) {
			t.Errorf("%s: got %+v", url, res)
		}
		if took := time.Since(began); took > 20*time.Second || number > 2000 {
			t.Errorf("%s: cut off after %s and %d events", url, took, number)
		}
	}
}

func TestAReceiverThatNeverAnswersAtTheEndIsCutOff(t *testing.T) {
	hang := make(chan struct{})
	silent := rawReceiver(t, func(_ *net.TCPConn, in *bufio.Reader) {
		readRequest(in) // to its end
		<-hang
	})
	t.Cleanup(func() { close(hang) })
	res := newSender(t, SenderConfig{Timeout: shortTimeout}).Push(t.Context(), streamTo(silent, say(3, false)))
	if res.Verdict != Retry || !errors.Is(res.Cause, ErrStalled) {
		t.Errorf("got %+v", res)
	}
}

func TestAStreamThatBreaksMayBeOpenedAgain(t *testing.T) {
	torn := rawReceiver(t, func(c *net.TCPConn, in *bufio.Reader) {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		for e, err := range sse.Read(req.Body, sse.Limits{}) {
			if err != nil || e.ID == "1-2" {
				break
			}
		}
		c.SetLinger(0)
	})
	socket := socketReceiver(t, func(req *http.Request, c *websocket.Conn) {
		c.Read(req.Context())
		c.Read(req.Context())
		c.Close(websocket.StatusGoingAway, "restart")
	})
	cut := socketReceiver(t, func(req *http.Request, c *websocket.Conn) {
		c.Read(req.Context())
		c.CloseNow()
	})
	for _, url := range []string{torn, socket, cut} {
		s := say(2, true)
		sender := newSender(t, SenderConfig{})
		sender.beat = 50 * time.Millisecond // a lost connection is noticed when something is sent
		res := sender.Push(t.Context(), streamTo(url, s))
		if res.Verdict != Retry || res.Class == "" {
			t.Errorf("%s: got %+v", url, res)
		}
		if last := s.last(); last.Number > 2 {
			t.Errorf("%s: %s was sent after the receiver had left", url, last)
		}
	}
}

func TestAStreamThatWeBreakOffIsInterrupted(t *testing.T) {
	reason := errors.New("the job has moved")
	for name, url := range map[string]string{
		"post":     receiver(t, func(_ http.ResponseWriter, req *http.Request) { io.Copy(io.Discard, req.Body) }).URL,
		"messages": socketReceiver(t, func(req *http.Request, c *websocket.Conn) { c.Read(req.Context()); c.Read(req.Context()) }),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, end := context.WithCancelCause(t.Context())
			s := say(1, true)
			m := streamTo(url, s)
			m.Next = func(ctx context.Context) ([]ringback.StreamEvent, error) {
				events, err := s.next(ctx)
				time.AfterFunc(20*time.Millisecond, func() { end(reason) })
				return events, err
			}
			if res := newSender(t, SenderConfig{}).Push(ctx, m); res.Verdict != Interrupted || !errors.Is(res.Cause, reason) {
				t.Errorf("got %+v", res)
			}
			m.Next = func(context.Context) ([]ringback.StreamEvent, error) { return nil, reason }
			if res := newSender(t, SenderConfig{}).Push(t.Context(), m); res.Verdict != Interrupted || !errors.Is(res.Cause, reason) {
				t.Errorf("an error of Next: got %+v", res)
			}
		})
	}
}

func TestMessagesAreEventsAndEndWithANormalClose(t *testing.T) {
	const n = 300
	var numbers []int64
	var closed websocket.StatusCode
	header := make(chan http.Header, 1)
	done := make(chan struct{})
	url := socketReceiver(t, func(req *http.Request, c *websocket.Conn) {
		defer close(done)
		header <- req.Header
		for {
			kind, data, err := c.Read(req.Context())
			if err != nil {
				closed = websocket.CloseStatus(err)
				return
			}
			var e ringback.StreamEvent
			if err := json.Unmarshal(data, &e); err != nil || kind != websocket.MessageText {
				t.Errorf("got %s of kind %v: %v", data, kind, err)
			}
			numbers = append(numbers, e.Number)
			if e.Number == 3 { // what the receiver sends is of no interest
				c.Write(req.Context(), websocket.MessageText, []byte("ack"))
			}
		}
	})
	s := say(n, false)
	m := streamTo(url, s)
	m.Header = http.Header{"Authorization": {"Bearer x"}}
	if res := newSender(t, SenderConfig{}).Push(t.Context(), m); res.Verdict != Delivered || res.Cause != nil {
		t.Fatalf("got %+v", res)
	}
	<-done
	if closed != websocket.StatusNormalClosure || len(numbers) != n || numbers[n-1] != n || s.last().Number != n {
		t.Errorf("got %d messages and close code %d, want %d and 1000", len(numbers), closed, n)
	}
	h := <-header
	if err := ringback.Verify(h, nil, testSecret); err != nil || h.Get("Authorization") != "Bearer x" {
		t.Errorf("header %v: %v", h, err)
	}
}

func TestAStreamSaysThatItLives(t *testing.T) {
	lines := make(chan string)
	r := receiver(t, func(_ http.ResponseWriter, req *http.Request) {
		in := bufio.NewReader(req.Body)
		line, _ := in.ReadString('\n')
		lines <- line
		io.Copy(io.Discard, in)
	})
	s := newSender(t, SenderConfig{})
	s.beat = time.Millisecond
	script := say(0, true)
	done := make(chan Result, 1)
	go func() { done <- s.Push(t.Context(), streamTo(r.URL, script)) }()
	if line := <-lines; line != ":\n" {
		t.Errorf("got %q, want a comment", line)
	}
	close(script.events)
	if res := <-done; res.Verdict != Delivered {
		t.Errorf("got %+v", res)
	}
}

func TestAStreamGoesNowhereElse(t *testing.T) {
	dns := newFakeDNS(map[string][]answer{"inside.example": {{addrs: []netip.Addr{loopback4}}}})
	reached := false
	r := receiver(t, func(http.ResponseWriter, *http.Request) { reached = true })
	_, port, _ := net.SplitHostPort(r.Listener.Addr().String())
	t.Setenv("HTTP_PROXY", r.URL)
	s := newSender(t, SenderConfig{Guard: newGuard(t, GuardConfig{}), Resolver: dns.resolver()})
	for _, scheme := range []string{"http", "ws"} {
		res := s.Push(t.Context(), streamTo(scheme+"://inside.example:"+port+"/", nil))
		if res.Class != ringback.TryBlocked || res.Verdict != Retry || reached {
			t.Errorf("%s: got %+v, want it refused at the dial", scheme, res)
		}
	}
}

func TestAClosedSenderPushesNothing(t *testing.T) {
	s := newSender(t, SenderConfig{})
	s.Close()
	if res := s.Push(t.Context(), streamTo("https://example.com/", nil)); res.Verdict != Interrupted || !errors.Is(res.Cause, ErrClosed) {
		t.Errorf("got %+v", res)
	}
}
