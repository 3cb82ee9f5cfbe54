package webhook

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ringback/ringback"
)

var testSecret = ringback.NewSecret()

func newSender(t testing.TB, c SenderConfig) *Sender {
	t.Helper()
	if c.Guard == nil {
		c.Guard = localGuard(t)
	}
	s, err := NewSender(c)
	if err != nil {
		t.Fatalf("NewSender: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

func message(url string) Message {
	return Message{ID: "dlv_1", URL: url, Body: []byte(`{"type":"job.completed"}`), Secrets: []ringback.Secret{testSecret}}
}

// receiver is a net/http server on loopback.
func receiver(t *testing.T, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func TestAWebhookArrivesAsPromised(t *testing.T) {
	type seen struct {
		req  *http.Request
		body []byte
	}
	got := make(chan seen, 1)
	r := receiver(t, func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		got <- seen{req, body}
		w.WriteHeader(http.StatusNoContent)
	})
	s := newSender(t, SenderConfig{UserAgent: "Ringback/1.2.3"})
	m := message(r.URL + "/hook?a=b%20c")
	m.Header = http.Header{"Authorization": {"Bearer x"}}
	result := s.Send(t.Context(), m)
	if result.Verdict != Delivered || result.StatusCode != 204 || result.Error != "" || result.Class != "" || result.Cause != nil {
		t.Fatalf("Send: got %+v", result)
	}
	if result.Started.IsZero() || result.Took <= 0 || result.Remote.String() != strings.TrimPrefix(r.URL, "http://") {
		t.Errorf("Started, Took, Remote: got %s, %s, %s", result.Started, result.Took, result.Remote)
	}
	saw := <-got
	if err := ringback.Verify(saw.req.Header, saw.body, testSecret); err != nil {
		t.Errorf("Verify: %v", err)
	}
	if err := ringback.VerifyBody(saw.req.Header, saw.body, testSecret); err != nil {
		t.Errorf("VerifyBody: %v", err)
	}
	want := http.Header{
		"Authorization": {"Bearer x"}, "Content-Type": {"application/json"}, "Content-Length": {fmt.Sprint(len(m.Body))}, "User-Agent": {"Ringback/1.2.3"}, "Webhook-Id": {"dlv_1"},
		"Webhook-Timestamp": {fmt.Sprint(result.Started.Unix())}, "Webhook-Signature": saw.req.Header["Webhook-Signature"], "X-Webhook-Signature": saw.req.Header["X-Webhook-Signature"],
	}
	if diff := cmp.Diff(want, saw.req.Header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	if got := saw.req.Method + " " + saw.req.RequestURI + " " + saw.req.Proto; got != "POST /hook?a=b%20c HTTP/1.1" {
		t.Errorf("request line: got %s", got)
	}
	if diff := cmp.Diff(http.Header{"Authorization": {"Bearer x"}}, m.Header); diff != "" {
		t.Errorf("Send changed the message's header: %s", diff)
	}
}

// The sender uses the message's clock, which may differ from this machine's, here an hour
// slow.
func TestATryIsOfTheClockOfItsMessage(t *testing.T) {
	at := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	stamps := make(chan string, 1)
	r := receiver(t, func(w http.ResponseWriter, req *http.Request) {
		stamps <- req.Header.Get("webhook-timestamp")
		w.Header()["Date"] = nil // which it would otherwise use
		w.Header().Set("Retry-After", at.Add(10*time.Minute).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	m := message(r.URL)
	m.At = at
	got := newSender(t, SenderConfig{}).Send(t.Context(), m)
	if stamp := <-stamps; stamp != fmt.Sprint(at.Unix()) || !got.Started.Equal(at) || got.Took > time.Minute {
		t.Errorf("webhook-timestamp, Started, Took: got %s, %s, %s, want the time of %s", stamp, got.Started, got.Took, at)
	}
	if got.RetryAfter < 9*time.Minute || got.RetryAfter > 10*time.Minute {
		t.Errorf("RetryAfter: got %s, want the 10 min that the receiver's date is ahead of the message's", got.RetryAfter)
	}
}

func TestEachTryIsSignedAnewWithTheSameID(t *testing.T) {
	var mu sync.Mutex
	var ids, bodies []string
	r := receiver(t, func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		mu.Lock()
		defer mu.Unlock()
		ids, bodies = append(ids, req.Header.Get("webhook-id")), append(bodies, string(body))
		if err := ringback.Verify(req.Header, body, testSecret); err != nil {
			t.Errorf("Verify: %v", err)
		}
	})
	s := newSender(t, SenderConfig{})
	for range 3 {
		if result := s.Send(t.Context(), message(r.URL)); result.Verdict != Delivered {
			t.Fatalf("Send: %+v", result)
		}
	}
	if len(slices.Compact(ids)) != 1 || len(slices.Compact(bodies)) != 1 {
		t.Errorf("three tries had ids %q and bodies %q", ids, bodies)
	}
}

func TestStatusCodes(t *testing.T) {
	r := receiver(t, func(w http.ResponseWriter, req *http.Request) {
		var code int
		fmt.Sscanf(req.URL.Path, "/%d", &code)
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(code)
	})
	s := newSender(t, SenderConfig{})
	for code, want := range map[int]Result{
		200: {Verdict: Delivered},
		404: {Verdict: Retry, Class: ringback.TryStatus, Error: "the callback host answered 404", RetryAfter: 2 * time.Minute},
		410: {Verdict: Dead, Class: ringback.TryStatus, Error: "the callback host answered 410: it wants no more of this", RetryAfter: 2 * time.Minute},
		413: {Verdict: TooLarge, Class: ringback.TryStatus, Error: "the callback host answered 413: the body is too large for it; webhook_body result or thin makes it smaller", RetryAfter: 2 * time.Minute},
		429: {Verdict: Retry, Class: ringback.TryStatus, Error: "the callback host answered 429", RetryAfter: 2 * time.Minute},
		503: {Verdict: Retry, Class: ringback.TryStatus, Error: "the callback host answered 503", RetryAfter: 2 * time.Minute},
	} {
		want.StatusCode = code
		got := s.Send(t.Context(), message(fmt.Sprintf("%s/%d", r.URL, code)))
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Result{}, "Started", "Took", "Remote")); diff != "" {
			t.Errorf("status %d (-want +got):\n%s", code, diff)
		}
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	for _, code := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			var mu sync.Mutex
			var paths []string
			r := receiver(t, func(w http.ResponseWriter, req *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				paths = append(paths, req.URL.Path)
				http.Redirect(w, req, "/elsewhere", code)
			})
			dns := newFakeDNS(map[string][]answer{"redirect.attacker.example": {{addrs: []netip.Addr{loopback4}}}})
			s := newSender(t, SenderConfig{Resolver: dns.resolver()})
			_, port, _ := net.SplitHostPort(r.Listener.Addr().String())
			result := s.Send(t.Context(), message("http://redirect.attacker.example:"+port+"/302"))
			if result.Verdict != Retry || result.Class != ringback.TryRedirect || result.StatusCode != code {
				t.Errorf("Send: got %+v", result)
			}
			if !slices.Equal(paths, []string{"/302"}) {
				t.Errorf("the receiver saw %q", paths)
			}
		})
	}
}

// Even if the address is only open because of --allow-callback: its operator wants to know
// why.
func TestTheAnswerIsKeptAsText(t *testing.T) {
	answer := "<b>\r\nno such hook\x1b[0m " + strings.Repeat("ü", 1000)
	r := receiver(t, func(w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(404)
		io.WriteString(w, answer)
	})
	s := newSender(t, SenderConfig{})
	result := s.Send(t.Context(), message(r.URL))
	if want := text([]byte(answer)[:maxText]); result.Response != want || len(want) < 1000 {
		t.Errorf("Response: got %q, want %q", result.Response, want)
	}
}

func TestAConnectionIsUsedAgain(t *testing.T) {
	var mu sync.Mutex
	conns := map[string]int{}
	r := receiver(t, func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		conns[req.RemoteAddr]++
		w.WriteHeader(200 + 300*(len(conns)%2))
		io.WriteString(w, strings.Repeat("x", maxReadBytes-1))
	})
	s := newSender(t, SenderConfig{})
	for range 5 {
		s.Send(t.Context(), message(r.URL))
	}
	if len(conns) != 1 {
		t.Errorf("5 tries took %d connections", len(conns))
	}
}

func TestABlockedNameIsTriedThreeTimesMore(t *testing.T) {
	dns := newFakeDNS(map[string][]answer{"inside.example": {{addrs: []netip.Addr{netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("fd00::1")}}}})
	s := newSender(t, SenderConfig{Resolver: dns.resolver()})
	for blocked, want := range []Verdict{Retry, Retry, Retry, Dead, Dead} {
		m := message("https://inside.example/")
		m.Blocked = blocked
		got := s.Send(t.Context(), m)
		if got.Verdict != want || got.Class != ringback.TryBlocked || got.Error != "callback address is not allowed" || got.Remote.IsValid() {
			t.Errorf("after %d blocked tries: got %+v, want %s", blocked, got, want)
		}
		if e, ok := errors.AsType[*BlockedError](got.Cause); !ok || e.Kind != "private" {
			t.Errorf("the operator sees %v", got.Cause)
		}
	}
}

func TestABlockedLiteralIsDeadAtOnce(t *testing.T) {
	s := newSender(t, SenderConfig{})
	got := s.Send(t.Context(), message("http://10.0.0.7/"))
	if got.Verdict != Dead || got.Class != ringback.TryBlocked || got.Error != "10.0.0.7 is private; the operator can open it with --allow-callback" {
		t.Errorf("Send: got %+v", got)
	}
}

func TestOfMixedAnswersOnlyThePublicOneIsDialled(t *testing.T) {
	public := netip.MustParseAddr("93.184.215.14")
	dns := newFakeDNS(map[string][]answer{"mixed.example": {{addrs: []netip.Addr{netip.MustParseAddr("10.1.2.3"), public, netip.MustParseAddr("fd00::1")}}}})
	s := newStopping(t, newGuard(t, GuardConfig{}), dns.resolver())
	got := s.Send(t.Context(), message("https://mixed.example/"))
	if !slices.Equal(s.passed, []netip.Addr{public}) || got.Class != ringback.TryConnect || got.Verdict != Retry {
		t.Errorf("dialled %v: %+v", s.passed, got)
	}
}

func TestATryThatWeBreakOffIsInterrupted(t *testing.T) {
	arrived := make(chan struct{})
	r := receiver(t, func(w http.ResponseWriter, req *http.Request) {
		io.Copy(io.Discard, req.Body) // otherwise net/http does not notice the end of the connection
		close(arrived)
		<-req.Context().Done()
	})
	s := newSender(t, SenderConfig{})
	drain := errors.New("the node drains")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-arrived
		cancel(drain)
	}()
	got := s.Send(ctx, message(r.URL))
	if got.Verdict != Interrupted || !errors.Is(got.Cause, drain) || got.Class != "" {
		t.Errorf("Send: got %+v, want it interrupted by the drain", got)
	}
}

func TestCloseWaitsForTriesAndRefusesMore(t *testing.T) {
	arrived, answer := make(chan struct{}), make(chan struct{})
	r := receiver(t, func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-answer
	})
	s := newSender(t, SenderConfig{})
	result, closed := make(chan Result, 1), make(chan struct{})
	go func() { result <- s.Send(context.Background(), message(r.URL)) }()
	<-arrived
	go func() {
		s.Close()
		close(closed)
	}()
	for s.begin() { // until Close has begun
		s.running.Done()
	}
	if got := s.Send(t.Context(), message(r.URL)); got.Verdict != Interrupted || !errors.Is(got.Cause, ErrClosed) {
		t.Errorf("Send on a closed sender: got %+v", got)
	}
	select {
	case <-closed:
		t.Error("Close did not wait")
	default:
	}
	close(answer)
	if got := <-result; got.Verdict != Delivered {
		t.Errorf("the try that ran: got %+v", got)
	}
	<-closed
	s.Close() // twice is harmless
}

func TestManyTriesAtOnce(t *testing.T) {
	r := receiver(t, func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		if err := ringback.Verify(req.Header, body, testSecret); err != nil {
			t.Errorf("Verify: %v", err)
		}
	})
	s := newSender(t, SenderConfig{})
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			m := message(r.URL)
			m.ID, m.Body = fmt.Sprint("dlv_", i), fmt.Appendf(nil, `{"i":%d}`, i)
			for range 5 {
				if got := s.Send(t.Context(), m); got.Verdict != Delivered {
					t.Errorf("Send: %+v", got)
				}
			}
		})
	}
	wg.Wait()
}

func TestNewSenderRefuses(t *testing.T) {
	for field, c := range map[string]SenderConfig{
		"Guard":   {},
		"Timeout": {Guard: localGuard(t), Timeout: 31 * time.Second},
		"at most": {Guard: localGuard(t), Timeout: time.Millisecond},
	} {
		if _, err := NewSender(c); err == nil || field != "at most" && !strings.Contains(err.Error(), field) {
			t.Errorf("NewSender: got %v, want an error that names %s", err, field)
		}
	}
}

// BenchmarkSend makes one try: checks, signs, sends over a kept connection, and classifies the
// answer. The receiver does next to nothing, so that the sender is what is measured.
func BenchmarkSend(b *testing.B) {
	m := message("")
	m.Body = []byte(strings.Repeat("x", 4<<10))
	m.URL = terseReceiver(b, len(m.Body))
	s := newSender(b, SenderConfig{})
	b.ReportAllocs()
	for b.Loop() {
		if got := s.Send(b.Context(), m); got.Verdict != Delivered {
			b.Fatal(got)
		}
	}
}

// terseReceiver accepts webhooks of one length, on one connection, without net/http.
func terseReceiver(b *testing.B, length int) (url string) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) > len("\r\n") {
				continue // of the header
			}
			if _, err := in.Discard(length); err != nil {
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
		}
	}()
	b.Cleanup(func() { l.Close(); <-done })
	return "http://" + l.Addr().String() + "/hook"
}
