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

// String stands in for the key.
func (Key) String() string { return "[key]" }

// GoString stands in for the key with %#v.
func (Key) GoString() string { return "[key]" }

// LogValue stands in for the key in logs.
func (Key) LogValue() slog.Value { return slog.StringValue("[key]") }

// MarshalText keeps the key out of JSON, too.
func (Key) MarshalText() ([]byte, error) { return []byte("[key]"), nil }

// Config describes a provider.
type Config struct {
	// Name is the provider's name in the configuration, required.
	Name string
	// Protocol is the provider's language, required: one of [protocol.Names].
	Protocol string
	// BaseURL is where its API begins, required: http or https, with or without
	// a path, a slash at the end, or the protocol's /v1, which is added where
	// there is no path.
	BaseURL string
	// APIKey is sent with each call; "" for a server that needs none.
	APIKey Key
	// Version is the anthropic-version that calls are made with; "" means 2023-06-01.
	// It is of the protocol anthropic alone.
	Version string
	// IdleTimeout bounds the silence within a stream, after its first event; 0
	// means 120 s.
	IdleTimeout time.Duration
	// MaxAnswer bounds an answer in bytes, once they are decoded; 0 means 64 MiB.
	MaxAnswer int64
	// UserAgent names us; "" means Ringback.
	UserAgent string
}

const (
	defaultIdleTimeout = 120 * time.Second
	defaultMaxAnswer   = 64 << 20
	maxHeader          = 64 << 10
)

// Client speaks to one provider. It is safe for use by many goroutines.
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
	plain     *atomic.Bool // the provider has refused the protocol's extra
	// key is a function since fmt prints strings of unexported fields.
	key func() string
}

// New checks the configuration. Its error names the field at fault.
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

// newTransport is made for many streams that are open for minutes: small
// buffers (they are what an open stream costs), HTTP/2 where TLS offers it, with
// pings that find a dead connection in seconds. The answer is not asked for in
// compressed form, which would hold back small pieces.
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
		IdleConnTimeout:        30 * time.Second, // ours before the server's, or a call dies on a dead one
		ReadBufferSize:         2 << 10,
		WriteBufferSize:        2 << 10,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true,
	}
}

// Name is the provider's name in the configuration.
func (c *Client) Name() string { return c.name }

// Protocol is the provider's language.
func (c *Client) Protocol() string { return c.protocol }

// KeyHash identifies the key without revealing it: the beginning of its SHA-256 in
// hex.
func (c *Client) KeyHash() string {
	sum := sha256.Sum256([]byte(c.key()))
	return hex.EncodeToString(sum[:8])
}

// Close closes the connections that no call uses.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Request is one call.
type Request struct {
	// Body is the provider's request as it is stored: without "stream".
	Body []byte
	// Model, if set, replaces the model in Body.
	Model string
	// Header are the caller's headers for the provider, as CheckHeaders returned
	// them; nil for none.
	Header map[string]string
	// Now, if set, is the clock by which times that the provider names are taken; nil
	// means this machine's.
	Now func() time.Time
	// Grow, if set, is asked before n further bytes of memory are taken for the
	// answer, and may block. They are free once Generate has returned and the
	// answer is let go. An error ends the call with Stopped.
	Grow func(ctx context.Context, n int) error
	// Sent, if set, is called once, just before the first byte may leave.
	Sent func()
	// FirstToken, if set, is called once, when the first piece of the answer
	// itself has come.
	FirstToken func(time.Time)
	// Delta, if set, is called for each piece of the answer as it comes, by the
	// goroutine that called Generate, which reads no further until it returns. The
	// pieces of kind text, joined in the order of their indices, are the Text of the
	// answer, or the PartialText of the error (but of CodeInternal, which has none).
	// Half a character waits for its other half. What comes whole, where more could
	// take its place, is emitted at the end: an answer without streaming, a message instead
	// of deltas, a tool's input at the start of its block or as an object.
	// Of several choices, the first is emitted. The key is taken out of each piece by itself.
	Delta func(ringback.Delta)
	// Frame, if set beside Delta, is called in turn with it for what the provider's own
	// stream has around the deltas: together they are a log that [protocol.Dialect]
	// renders. The last frame takes memory that Grow is not asked for: that of the answer
	// without its texts.
	Frame func(protocol.Piece)
}

// Answer is a whole answer.
type Answer struct {
	// Message is the message object that a call without streaming returns.
	Message json.RawMessage
	// Text is what [protocol.Text] returns for Message.
	Text string
	// Model is as the answer names it, in one line of at most 256 bytes.
	Model string
	// Usage is the provider's object, always with input_tokens and
	// output_tokens (0 where the provider gave none). One of more than 16 KiB, or with the
	// key in it, is its known counts alone.
	Usage json.RawMessage
	// RequestID is the provider's name of the call, if it gave one.
	RequestID    string
	FirstTokenAt time.Time
}
