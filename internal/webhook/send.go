package webhook

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/earlyanswer"
)

const (
	maxReadBytes       = 64 << 10 // of an answer's body
	maxHeaderReadBytes = 64 << 10 // of its header, 1xx answers included
	connectTimeout     = 5 * time.Second
	// bodyGrace is how long the body of a 2xx may take: the webhook is delivered, and its
	// slot is needed.
	bodyGrace = time.Second
)

// SenderConfig sets up a [Sender].
type SenderConfig struct {
	// Guard decides where webhooks may go. Required.
	Guard *Guard
	// UserAgent is sent with each webhook; "Ringback" by default.
	UserAgent string
	// Timeout is how long one try may take in total, from the lookup to the last byte of
	// the answer: 1 to 30 s, 10 s by default.
	Timeout time.Duration
	// Resolver looks up names; nil is Go's own resolver with the system's settings, never
	// the C library's, whose lookups cannot be cancelled.
	Resolver *net.Resolver
	// RootCAs sign the certificates of receivers; nil means the system's.
	RootCAs *x509.CertPool
	// IdlePerHost is how many idle connections to a host are kept, 64 by default; set it to
	// a host's number of slots.
	IdlePerHost int
}

// Sender sends webhooks, one try per call. It is safe for concurrent use. The caller bounds
// how many tries run at once: a bound here would let tries wait for a connection on their
// own timeout.
type Sender struct {
	guard     *Guard
	userAgent string
	timeout   time.Duration
	dialer    *dialer
	beat      time.Duration // of a stream without events
	reuse     *http.Transport
	fresh     *http.Transport // a new connection for each request

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup // added to under mu, while not closed
}

// ErrClosed is the cause of a try that a closed sender did not begin.
var ErrClosed = errors.New("webhook sender is closed")

// NewSender makes a sender. It returns an error that names the field if Guard is missing or
// Timeout out of bounds.
func NewSender(c SenderConfig) (*Sender, error) {
	if c.Guard == nil {
		return nil, errors.New("webhook sender: Guard is required")
	}
	if c.Timeout != 0 && (c.Timeout < time.Second || c.Timeout > 30*time.Second) {
		return nil, fmt.Errorf("webhook sender: Timeout must be 1s to 30s, not %s", c.Timeout)
	}
	s := &Sender{
		guard:     c.Guard,
		userAgent: cmp.Or(c.UserAgent, "Ringback"),
		timeout:   cmp.Or(c.Timeout, 10*time.Second),
		dialer:    newDialer(c.Guard, c.Resolver),
		beat:      beatEvery,
	}
	s.reuse = s.newTransport(c)
	s.fresh = s.newTransport(c)
	s.fresh.DisableKeepAlives = true
	return s, nil
}

// newTransport returns a transport for HTTP/1.1 only: over HTTP/2 one stalled connection
// stalls every stream on it. It has no ResponseHeaderTimeout, since the try's deadline also
// bounds the wait for a header.
func (s *Sender) newTransport(c SenderConfig) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  nil, // behind a proxy the guard would only see the proxy's address
		DialContext:            earlyanswer.Dial(s.dialer.DialContext),
		ExpectContinueTimeout:  earlyanswer.ExpectTimeout,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.RootCAs},
		TLSHandshakeTimeout:    connectTimeout,
		MaxResponseHeaderBytes: maxHeaderReadBytes,
		DisableCompression:     true, // otherwise 256 KiB may decompress to 256 MiB
		MaxIdleConns:           512,
		MaxIdleConnsPerHost:    cmp.Or(c.IdlePerHost, 64),
		IdleConnTimeout:        30 * time.Second,
		Protocols:              protocols,
	}
}

// Message is a webhook to be sent.
type Message struct {
	// At is when the try is made, by the clock that the webhook-timestamp shows; zero means
	// now, by this machine's.
	At time.Time
	// ID is the webhook-id: the same on every try, without a dot.
	ID string
	// URL is the callback_url; it is checked again, since the rules may have changed since
	// it was submitted.
	URL string
	// Body is sent unchanged; see [Body].
	Body []byte
	// Header are the callback_headers as returned by [Headers]; nil for none.
	Header http.Header
	// Secrets sign the message, the newest first.
	Secrets []ringback.Secret
	// Blocked is how many earlier tries ended as [ringback.TryBlocked]; the one after three of
	// them ends the delivery.
	Blocked int
}

// Result is how a try ended.
type Result struct {
	// Verdict is what it means for the delivery.
	Verdict Verdict
	// Class is the kind of failure, "" for none.
	Class ringback.TryError
	// StatusCode is the answer's, 0 if there was none.
	StatusCode int
	// Error is one sentence for the delivery's owner, "" if it was delivered. It never
	// contains an address that a name resolved to.
	Error string
	// Cause is for the operator's log; nil if there was an answer.
	Cause error
	// Response is the first 1 KiB of the answer as text without control characters.
	Response string
	// RetryAfter is the wait that the receiver asked for, 0 for none; see [Schedule.Next].
	RetryAfter time.Duration
	// Started is when the try began, as its webhook-timestamp says.
	Started time.Time
	// Took is how long it lasted.
	Took time.Duration
	// Remote is the receiver's address, only for the operator; invalid if no connection was
	// made.
	Remote netip.AddrPort
}

// Send makes one try. It always returns a result: the end of ctx results in [Interrupted],
// since it is then unknown what the receiver saw. It takes no longer than the timeout.
func (s *Sender) Send(ctx context.Context, m Message) Result {
	began := time.Now()
	if m.At.IsZero() {
		m.At = began
	}
	r := s.send(ctx, m, m.At.Sub(began))
	r.Started, r.Took = m.At, time.Since(began)
	return r
}

// send makes the try. ahead is how far the clock of m.At is ahead of this machine's.
func (s *Sender) send(ctx context.Context, m Message, ahead time.Duration) Result {
	if !s.begin() {
		return Result{Verdict: Interrupted, Error: "the server is stopping", Cause: ErrClosed}
	}
	defer s.running.Done()
	target, err := s.guard.CheckURL(m.URL)
	if err != nil {
		return Result{Verdict: Dead, Class: ringback.TryBlocked, Error: err.Error(), Cause: err}
	}
	tryCtx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	header := s.header(m)
	t := &try{url: target.URL, header: header, body: m.Body}
	resp, err := t.do(tryCtx, s.reuse) //nolint:bodyclose // answered closes it
	if err != nil && tryCtx.Err() == nil && t.closedUnderUs(err) {
		t = &try{url: target.URL, header: header, body: m.Body}
		resp, err = t.do(tryCtx, s.fresh) //nolint:bodyclose // as above
	}
	switch {
	case err == nil:
		r := s.answered(resp, t, cancel)
		r.RetryAfter = retryAfter(resp, time.Now().Add(ahead))
		r.Remote = t.remote
		return r
	case ctx.Err() != nil:
		return Result{Verdict: Interrupted, Error: "the try was broken off", Cause: context.Cause(ctx), Remote: t.remote}
	default:
		r := s.failed(tryCtx, t, err, m.Blocked)
		r.Remote = t.remote
		return r
	}
}

func (s *Sender) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.running.Add(1)
	return true
}

// Close refuses further tries, waits for the running ones and closes all connections,
// including those that net/http continued to open after their try had ended. To end running
// tries sooner, end their contexts.
func (s *Sender) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.running.Wait()
	s.reuse.CloseIdleConnections()
	s.fresh.CloseIdleConnections()
}

func (s *Sender) header(m Message) http.Header {
	h := ringback.Sign(m.Secrets[0], m.ID, m.At, m.Body, m.Secrets[1:]...)
	h["Content-Type"] = []string{"application/json"}
	h["User-Agent"] = []string{s.userAgent}
	maps.Copy(h, m.Header) // it has none of these names: they are reserved
	return h
}

// try is one request over one connection, with what is learned on the way.
type try struct {
	url    string
	header http.Header
	body   []byte

	reused    bool
	connected atomic.Bool // something may have been sent
	remote    netip.AddrPort
	firstByte atomic.Bool // of an answer
	tlsFailed atomic.Bool
}

// do sends the request directly through the transport: an http.Client might follow a
// redirect.
func (t *try) do(ctx context.Context, transport *http.Transport) (*http.Response, error) {
	req, err := http.NewRequestWithContext(t.watch(ctx), http.MethodPost, t.url, bytes.NewReader(t.body))
	if err != nil {
		return nil, err
	}
	req.Header = t.header // a transport does not modify it
	return earlyanswer.RoundTrip(transport, req)
}

// watch traces what happens on the way.
func (t *try) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			earlyanswer.Begin(info.Conn)
			t.reused = info.Reused
			t.connected.Store(true)
			if a, ok := info.Conn.RemoteAddr().(*net.TCPAddr); ok {
				t.remote = netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), uint16(a.Port))
			}
		},
		GotFirstResponseByte: func() { t.firstByte.Store(true) },
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err != nil {
				t.tlsFailed.Store(true)
			}
		},
	})
}

// closedUnderUs reports whether the receiver closed an idle connection just when we sent
// the request on it: nothing is wrong with the receiver, which has seen none or half of the
// request. net/http does not repeat a POST.
func (t *try) closedUnderUs(err error) bool {
	return t.reused && !t.firstByte.Load() && isReset(err)
}

// answered classifies an answer by its header. It reads the body to show it to the owner and to
// reuse the connection.
func (s *Sender) answered(resp *http.Response, t *try, cancel context.CancelFunc) Result {
	defer resp.Body.Close()
	r := classify(resp.StatusCode)
	if resp.StatusCode == http.StatusSwitchingProtocols || resp.ContentLength == 0 {
		return r // its body is the connection, or there is none
	}
	if r.Verdict == Delivered {
		defer time.AfterFunc(bodyGrace, cancel).Stop()
	}
	head, _ := io.ReadAll(io.LimitReader(resp.Body, maxText))
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxReadBytes-maxText)) // so that the connection can be used again
	if resp.Header.Get("Content-Encoding") == "" {
		r.Response = text(head)
	}
	return r
}
