// Package client talks to a Ringback server: it submits jobs, waits for them, watches
// their answers being written, reads what became of them, repeats or erases them, and
// reads the webhooks that they cause.
//
// It says the same words as the server, package ringback, and maps every error
// of the API back to a *[ringback.Error]. It does not retry by itself, but for
// [Client.Wait] and [Client.Stream], which only read, and [Client.SubmitAndWait],
// which submits under one key.
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

// DefaultURL is where a server listens that was started without options.
const DefaultURL = "http://127.0.0.1:8080"

// maxAnswer bounds what is read of an answer, in bytes: a job with an answer of
// 64 MiB comes twice in it, as text and as the provider's message, with escapes.
const maxAnswer = 512 << 20

// Config says which server to talk to, and how.
type Config struct {
	// URL of the server, with the path in front of /api if there is one.
	// Empty: DefaultURL.
	URL string
	// APIKey is the server's RINGBACK_API_KEY. Empty: none is sent.
	APIKey string
	// HTTPClient makes the calls. It should set no Timeout: below 75 s it would cut
	// off Wait, and any cuts off Stream, which connects again; contexts bound single
	// calls. Nil: a client of its own
	// that follows no redirect.
	HTTPClient *http.Client
}

// A Client talks to one server. Its methods may be called at the same time.
// What the server refuses is a *[ringback.Error]; anything else came on the way.
type Client struct {
	base string
	key  string
	http *http.Client
}

// New makes a client. It returns an error if the URL is none.
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

// noRedirect shows a redirect as the error that it is: the API knows none, and
// a POST would come out of it as a GET.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// call sends one request and decodes its answer into answer, if that is not nil.
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
