package listen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ringback/ringback/internal/plain"
)

// answers are the status codes to respond with, in turn. The last one repeats.
type answers struct {
	mu    sync.Mutex // guards codes
	codes []int
}

// parseAnswers parses --respond. It returns nil if text is "".
func parseAnswers(text string) (*answers, error) {
	if text == "" {
		return nil, nil
	}
	a := &answers{}
	for part := range strings.SplitSeq(text, ",") {
		code, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || code < 200 || code > 599 {
			return nil, fmt.Errorf("%q is not a status code from 200 to 599; write it like 500,500,200", part)
		}
		a.codes = append(a.codes, code)
	}
	return a, nil
}

func (a *answers) next() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	code := a.codes[0]
	if len(a.codes) > 1 {
		a.codes = a.codes[1:]
	}
	return code
}

// forwarder forwards webhooks to another receiver.
type forwarder struct {
	url    string
	client *http.Client
}

// forwarded is the outcome of one call.
type forwarded struct {
	url    string
	status int           // of the response; 502 if there is none
	took   time.Duration // until the response had arrived
	err    error         // why there is no response
	header http.Header
	body   []byte
}

const (
	// forwardTime limits a call. Ringback itself waits for 10 s.
	forwardTime = 30 * time.Second
	// maxForwarded is how much of a response is passed back, in bytes: more than Ringback
	// reads.
	maxForwarded = 64 << 10
)

// newForwarder parses --forward-to. It returns nil if to is "".
func newForwarder(to string) (*forwarder, error) {
	if to == "" {
		return nil, nil
	}
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("%q is not the URL of a receiver; write it like http://127.0.0.1:3000/hook", to)
	}
	return &forwarder{to, &http.Client{
		Timeout:       forwardTime,
		Transport:     &http.Transport{DisableCompression: true, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // as Ringback
	}}, nil
}

// hopByHop are the headers of a connection, which are not forwarded.
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// send forwards a webhook: the same bytes under the same headers.
func (f *forwarder) send(ctx context.Context, header http.Header, body []byte) *forwarded {
	start := time.Now()
	got := f.call(ctx, header, body)
	got.url, got.took = f.url, time.Since(start)
	return got
}

func (f *forwarder) call(ctx context.Context, header http.Header, body []byte) *forwarded {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url, bytes.NewReader(body))
	if err != nil {
		return &forwarded{status: http.StatusBadGateway, err: err}
	}
	req.Header = header.Clone()
	for _, name := range hopByHop {
		req.Header.Del(name)
	}
	resp, err := f.client.Do(req) //nolint:gosec // the user named the URL on the command line
	if err != nil {
		return &forwarded{status: http.StatusBadGateway, err: forwardError(ctx, err)}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxForwarded))
	if err != nil {
		return &forwarded{status: http.StatusBadGateway, err: fmt.Errorf("its response broke off: %w", forwardError(ctx, err))}
	}
	return &forwarded{status: resp.StatusCode, header: resp.Header, body: text}
}

// forwardError returns a short reason why there is no response.
func forwardError(ctx context.Context, err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	netErr, _ := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("nothing listens there (connection refused)")
	case ctx.Err() != nil:
		return errors.New("no response within 10 s, which is how long Ringback waits")
	case netErr != nil && netErr.Timeout():
		return fmt.Errorf("no answer in %s", forwardTime)
	}
	return err
}

// answer responds with what the other receiver responded, under another status if status
// differs.
func (f *forwarded) answer(w http.ResponseWriter, status int) {
	for _, name := range []string{"Content-Type", "Retry-After"} {
		if v := f.header.Get(name); v != "" {
			w.Header().Set(name, v)
		}
	}
	if f.err != nil {
		http.Error(w, fmt.Sprintf("ringback listen could not forward to %s: %v", plain.HostOf(f.url), f.err), status)
		return
	}
	w.WriteHeader(status)
	_, _ = w.Write(f.body) //nolint:gosec // for Ringback, which shows it to nobody's browser
}
