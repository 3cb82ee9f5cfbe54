// Package client talks to a Ringback server: it submits jobs, waits for them, streams their
// answers, reads their results, replays or erases them, and reads the webhooks that they
// cause.
//
// It shares its types with the server through package ringback, and maps every error of the
// API back to a *[ringback.Error]. It does not retry by itself, except in [Client.Wait] and
// [Client.Stream], which only read, and in [Client.SubmitAndWait], which submits under one
// key.
package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// DefaultURL is the address of a server that was started without options.
const DefaultURL = "http://127.0.0.1:8080"

// maxAnswer bounds how much of a response is read, in bytes: a job with an answer of 64 MiB
// contains it twice, as text and as the provider's message, with escapes.
const maxAnswer = 512 << 20

// Config says which server to talk to, and how.
type Config struct {
	// URL of the server, with the path in front of /api if there is one.
	// Empty: DefaultURL.
	URL string
	// APIKey is the server's RINGBACK_API_KEY. Empty: none is sent.
	APIKey string
	// HTTPClient makes the calls. It should have no Timeout: one under 75 s would cut off
	// Wait, and any would cut off Stream, which reconnects. Bound single calls by contexts
	// instead. Nil: a client that follows no redirects.
	HTTPClient *http.Client
}

// A Client talks to one server. Its methods are safe for concurrent use. A refusal by the
// server is a *[ringback.Error]; any other error happened on the way.
type Client struct {
	base string
	key  string
	http *http.Client
}

// New makes a client. It returns an error if the URL is invalid.
func New(c Config) (*Client, error) {
	base := strings.TrimRight(cmp.Or(c.URL, DefaultURL), "/")
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("URL of the server: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("URL of the server: %q is not like %s", u.Redacted(), DefaultURL)
	}
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{CheckRedirect: noRedirect}
	}
	return &Client{base, c.APIKey, c.HTTPClient}, nil
}

// noRedirect turns a redirect into an error, which it is: the API has none, and a POST
// would be repeated as a GET.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// call sends one request and decodes the response into answer, unless that is nil.
func (c *Client) call(ctx context.Context, method, path string, header http.Header, body, answer any) error {
	req, err := c.request(ctx, method, path, header, body)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err // names the method and the URL already
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return refusal(resp)
	}
	text, err := readAtMost(resp.Body, maxAnswer)
	if err == nil && answer != nil {
		err = json.Unmarshal(text, answer)
	}
	if err != nil {
		return fmt.Errorf("read the answer of %s %s: %w", method, path, err)
	}
	return nil
}

func (c *Client) request(ctx context.Context, method, path string, header http.Header, body any) (*http.Request, error) {
	var text io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		text = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, text)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, header)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	return req, nil
}

func jobPath(id string) string { return "/api/jobs/" + url.PathEscape(id) }

var errTooLarge = errors.New("it is larger than expected")

func readAtMost(r io.Reader, most int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(text)) > most {
		err = errTooLarge
	}
	return text, err
}
