package provider

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/earlyanswer"
	"github.com/ringback/ringback/internal/protocol"
)

// Key is a provider's API key. It does not print.
type Key string

// String returns a placeholder.
func (Key) String() string { return "[key]" }

// GoString returns a placeholder for %#v.
func (Key) GoString() string { return "[key]" }

// LogValue returns a placeholder for logs.
func (Key) LogValue() slog.Value { return slog.StringValue("[key]") }

// MarshalText keeps the key out of JSON, too.
func (Key) MarshalText() ([]byte, error) { return []byte("[key]"), nil }

// Config describes a provider.
type Config struct {
	// Name is the provider's name in the configuration, required.
	Name string
	// Protocol is the provider's protocol, required: one of [protocol.Names].
	Protocol string
	// BaseURL is where its API begins, required: http or https, with or without
	// a path, a slash at the end, or the protocol's /v1, which is added where
	// there is no path.
	BaseURL string
	// APIKey is sent with each call; "" for a server that needs none.
	APIKey Key
	// Version is the anthropic-version that calls are made with; "" means 2023-06-01. Only
	// for the protocol anthropic.
	Version string
	// IdleTimeout bounds the silence within a stream, after its first event; 0
	// means 120 s.
	IdleTimeout time.Duration
	// MaxAnswer bounds an answer in bytes, once they are decoded; 0 means 64 MiB.
	MaxAnswer int64
	// UserAgent identifies us; "" means Ringback.
	UserAgent string
}

const (
	defaultIdleTimeout = 120 * time.Second
	defaultMaxAnswer   = 64 << 20
	maxHeader          = 64 << 10
)

// Client calls one provider. It is safe for concurrent use.
type Client struct {
	name      string
	protocol  string
	dialect   protocol.Dialect
	endpoint  *url.URL
	version   string
	userAgent string
	idle      time.Duration
	maxAnswer int64
	transport *http.Transport
	plain     *atomic.Bool // the provider has refused the protocol's extra field
	// key is a function since fmt prints strings of unexported fields.
	key func() string
}

// New checks the configuration. Its error names the invalid field.
func New(config Config) (*Client, error) {
	if config.Name == "" {
		return nil, errors.New("provider: name is required")
	}
	fault := func(field string, err error) (*Client, error) {
		return nil, fmt.Errorf("provider %s: %s %w", config.Name, field, err)
	}
	dialect, err := protocol.Lookup(config.Protocol)
	if err != nil {
		return nil, fmt.Errorf("provider %s: %w", config.Name, err)
	}
	base, err := checkBase(config.BaseURL)
	if err != nil {
		return fault("base_url", err)
	}
	endpoint, err := url.Parse(dialect.HTTP().Endpoint(base))
	if err != nil {
		return fault("base_url", err)
	}
	if err := checkVersion(config.Version, config.Protocol); err != nil {
		return fault("anthropic_version", err)
	}
	key := string(config.APIKey)
	if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fault("api_key", errors.New("must be printable ASCII without spaces (is there a line break at its end?)"))
	}
	return &Client{
		name:      config.Name,
		protocol:  config.Protocol,
		dialect:   dialect,
		endpoint:  endpoint,
		version:   cmp.Or(config.Version, protocol.DefaultAnthropicVersion),
		userAgent: cmp.Or(config.UserAgent, "Ringback"),
		idle:      cmp.Or(max(config.IdleTimeout, 0), defaultIdleTimeout),
		maxAnswer: cmp.Or(max(config.MaxAnswer, 0), defaultMaxAnswer),
		transport: newTransport(),
		plain:     new(atomic.Bool),
		key:       func() string { return key },
	}, nil
}

// checkBase returns the base URL without a slash at its end. An error does not
// quote it: it may hold a password.
func checkBase(base string) (string, error) {
	u, err := url.Parse(base)
	switch {
	case base == "":
		return "", errors.New("is required")
	case err != nil:
		return "", errors.New("is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", errors.New("must begin with http:// or https://")
	case u.Hostname() == "":
		return "", errors.New("must have a host")
	case u.User != nil:
		return "", errors.New("must not have a user name or password; the key goes into api_key")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("must not have a query or a fragment")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// newTransport returns a transport made for many streams that are open for minutes: small
// buffers (they are the cost of an open stream), and HTTP/2 where TLS offers it, with pings
// that detect a dead connection in seconds. It does not ask for compressed answers, since
// compression would hold back small pieces.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            earlyanswer.Dial(dialer.DialContext),
		ExpectContinueTimeout:  earlyanswer.ExpectTimeout,
		TLSHandshakeTimeout:    10 * time.Second,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        30 * time.Second, // ours ends before the server's, or a call dies on a dead connection
		ReadBufferSize:         2 << 10,
		WriteBufferSize:        2 << 10,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true,
	}
}

// Name returns the provider's name in the configuration.
func (c *Client) Name() string { return c.name }

// Protocol returns the provider's protocol.
func (c *Client) Protocol() string { return c.protocol }

// KeyHash identifies the key without revealing it: the beginning of its SHA-256 in hex.
func (c *Client) KeyHash() string {
	sum := sha256.Sum256([]byte(c.key()))
	return hex.EncodeToString(sum[:8])
}

// Close closes idle connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Request is one call.
type Request struct {
	// Body is the provider's request as it is stored, without "stream".
	Body []byte
	// Model, if set, replaces the model in Body.
	Model string
	// Header are the caller's headers for the provider, as CheckHeaders returned
	// them; nil for none.
	Header map[string]string
	// Now, if set, is the clock that the provider's times are relative to; nil means this
	// machine's.
	Now func() time.Time
	// Grow, if set, is called before the answer takes n further bytes of memory, and may
	// block. They are free again once Generate has returned and the answer is released. An
	// error ends the call with Stopped.
	Grow func(ctx context.Context, n int) error
	// Sent, if set, is called once, just before the first byte may leave.
	Sent func()
	// FirstToken, if set, is called once, when the first piece of the answer itself
	// arrives.
	FirstToken func(time.Time)
	// Delta, if set, is called for each piece of the answer when it arrives, by the
	// goroutine that called Generate, which reads no further until it returns. The pieces
	// of kind text, joined in the order of their indices, are the Text of the answer, or
	// the PartialText of the error (except for CodeInternal, which has none). Half a
	// character waits for its other half. A whole value that could still be replaced is
	// emitted at the end: an answer without streaming, a message instead of deltas, a
	// tool's input at the start of its block or as an object. Of several choices, the first
	// is emitted. The key is removed from each piece separately.
	Delta func(ringback.Delta)
	// Frame, if set in addition to Delta, is called, in order with it, for what the
	// provider's own stream has around the deltas: together they are a log that
	// [protocol.Dialect] renders. Grow is not called for the memory of the last frame: that
	// of the answer without its texts.
	Frame func(protocol.Piece)
}

// Answer is a whole answer.
type Answer struct {
	// Message is the message object that a call without streaming returns.
	Message json.RawMessage
	// Text is what [protocol.Text] returns for Message.
	Text string
	// Model is the one that the answer names, in one line of at most 256 bytes.
	Model string
	// Usage is the provider's object, always with input_tokens and output_tokens (0 where
	// the provider gave none). It is reduced to its known counts if it has more than 16
	// KiB, or contains the key.
	Usage json.RawMessage
	// RequestID is the provider's id for the call, if it gave one.
	RequestID    string
	FirstTokenAt time.Time
}
