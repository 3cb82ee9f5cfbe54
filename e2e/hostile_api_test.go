package e2e_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// The enemies of the API. Those that send a request get an answer at once that
// says what is wrong; those that only cost time are cut off.

// shot is a request that no honest client sends, byte for byte.
type shot struct {
	name    string
	request string
	status  int    // of its answer; 0: the connection is closed without one
	says    string // part of the answer
}

// postOf returns a request with a JSON body.
func postOf(body string, headers ...string) string {
	return "POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + strings.Join(headers, "") +
		fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)) + body
}

func getOf(target string, headers ...string) string {
	return "GET " + target + " HTTP/1.1\r\n" + strings.Join(headers, "") + "\r\n"
}

const localHost = "Host: localhost\r\n"

// withHeader returns a request whose callback_headers contain one header, as JSON.
func withHeader(name, value string) string {
	return postOf(`{"prompt":"Hi","model":"sim/echo","callback_url":"http://127.0.0.1:9999/","callback_headers":{"` + name + `":"` + value + `"}}`)
}

var shots = []shot{
	// Too much.
	{"40 MiB that are announced", "POST /api/generate HTTP/1.1\r\n" + localHost + "Content-Type: application/json\r\nContent-Length: 41943040\r\n\r\n", 413, "the body is larger than 33554432 bytes"},
	{"a length beyond all numbers", "POST /api/generate HTTP/1.1\r\n" + localHost + "Content-Type: application/json\r\nContent-Length: 99999999999999999999\r\n\r\n", 400, "Bad Request"},
	{"a header of 100 KiB", getOf("/healthz", localHost, "X-Long: "+strings.Repeat("x", 100<<10)+"\r\n"), 431, "headers are too large"},
	{"10,000 headers", getOf("/healthz", localHost, strings.Repeat("X-Many: x\r\n", 10_000)), 431, "headers are too large"},
	{"a query of 60 KiB", getOf("/api/jobs?"+strings.Repeat("q", 60<<10)+"=1", localHost), 431, "headers are too large"},
	{"a query of 15 KiB", getOf("/api/jobs?"+strings.Repeat("q", 15<<10)+"=1", localHost), 400, "is not a query parameter here"},
	{"a query of a thousand parameters", getOf("/api/jobs?"+strings.Repeat("limit=1&", 1000), localHost), 400, "limit"},
	{"a path of 15 KiB", getOf("/api/jobs/"+strings.Repeat("j", 15<<10), localHost), 404, "not_found"},
	{"arrays 100,000 deep", postOf(`{"prompt":"Hi","messages":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`), 400, "stand more than 100 deep in each other"},
	{"objects 100,000 deep", postOf(`{"params":` + strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000) + `}`), 400, "stand more than 100 deep in each other"},
	{"eleven callback headers", postOf(`{"prompt":"Hi","model":"sim/echo","callback_url":"http://127.0.0.1:9999/","callback_headers":{"a":"","b":"","c":"","d":"","e":"","f":"","g":"","h":"","i":"","j":"","k":""}}`), 400, "callback_headers must have at most 10 names"},

	// Not text.
	{"bytes that are not UTF-8", postOf("{\"prompt\":\"\xff\xfe\"}"), 400, "this byte is not UTF-8"},
	{"half of a character", postOf(`{"prompt":"\ud800"}`), 400, "half of a character"},
	{"a body in gzip", postOf(bomb(64), "Content-Encoding: gzip\r\n"), 415, "send the body uncompressed"},
	{"a form", strings.Replace(postOf("prompt=Hi"), "application/json", "application/x-www-form-urlencoded", 1), 415, "send JSON"},
	{"a name that is given twice", postOf(`{"prompt":"a","prompt":"b"}`), 400, "prompt is given twice"},

	// Attempts to reach the receiver's headers.
	{"a line break in a callback header", withHeader("X-A", `1\r\nX-Admin: yes`), 400, "must hold no control characters"},
	{"a line break in its name", withHeader(`X-A\r\nX-Admin`, "yes"), 400, "is not a valid header name"},
	{"a callback header of the connection", withHeader("Connection", "X-Webhook-Signature"), 400, "Connection: it is reserved"},
	{"a callback header that reframes", withHeader("Transfer_Encoding", "chunked"), 400, "Transfer_Encoding: it is reserved"},
	{"a callback header that signs", withHeader("webhook-signature", "v1,x"), 400, "webhook-signature: it is reserved"},
	{"a callback header that opens a cloud", withHeader("Metadata-Flavor", "Google"), 400, "Metadata-Flavor: it is reserved"},
	{"a callback to a cloud's metadata", postOf(`{"prompt":"Hi","callback_url":"http://169.254.169.254/latest/meta-data/"}`), 400, "169.254.169.254"},
	{"a callback to it in disguise", postOf(`{"prompt":"Hi","callback_url":"http://2852039166/latest/"}`), 400, "callback_url"},

	// Framing that two servers might read differently.
	{"two lengths", "POST /api/generate HTTP/1.1\r\n" + localHost + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400, "Bad Request"},
	{"a length with a sign", "POST /api/generate HTTP/1.1\r\n" + localHost + "Content-Length: +5\r\n\r\nhello", 400, "Bad Request"},
	{"a coding that is none", "POST /api/generate HTTP/1.1\r\n" + localHost + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501, "Unsupported transfer encoding"},
	{"two codings", "POST /api/generate HTTP/1.1\r\n" + localHost + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "Unsupported transfer encoding"},
	{"a space before the colon", "POST /api/generate HTTP/1.1\r\n" + localHost + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400, "Bad Request"},
	{"a header that is folded", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n X: folded\r\n\r\n", 400, "Bad Request"},
	{"a chunk with a length that is none", "POST /api/generate HTTP/1.1\r\n" + localHost + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400, "the body ended early"},
	{"a chunk that is longer than its length", "POST /api/generate HTTP/1.1\r\n" + localHost + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}}}\r\n0\r\n\r\n", 400, "the body ended early"},
	{"a chunk beyond all numbers", "POST /api/generate HTTP/1.1\r\n" + localHost + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400, "the body ended early"},

	// Unknown protocols and methods.
	{"no HTTP", "SSH-2.0-OpenSSH_9.9\r\n\r\n", 400, "Bad Request"},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "Bad Request"},
	{"HTTP/2 by prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 421, "localhost only"},
	{"HTTP/9", "GET /healthz HTTP/9.9\r\n" + localHost + "\r\n", 505, "HTTP Version Not Supported"},
	{"a method that is none", "BREW /api/generate HTTP/1.1\r\n" + localHost + "\r\n", 405, "this path takes POST"},
	{"a method of 10 KiB", strings.Repeat("B", 10<<10) + " /api/generate HTTP/1.1\r\n" + localHost + "\r\n", 405, "this path takes POST"},
	{"a method that is no token", "G(T / HTTP/1.1\r\n" + localHost + "\r\n", 400, "Bad Request"},
	{"CONNECT", "CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: 169.254.169.254:80\r\n\r\n", 421, "localhost only"},
	{"TRACE", "TRACE /api/jobs HTTP/1.1\r\n" + localHost + "\r\n", 405, "this path takes GET"},
	{"OPTIONS of all", "OPTIONS * HTTP/1.1\r\n" + localHost + "\r\n", 200, ""},
	{"a path that climbs", getOf("/api/jobs/../../etc/passwd", localHost), 404, "there is nothing at this path"},
	{"a path with a zero byte", getOf("/api/jobs/%00", localHost), 404, "not_found"},

	// Wrong hosts.
	{"another host", getOf("/api/jobs", "Host: evil.example\r\n"), 421, "localhost only"},
	{"another host in the target", getOf("http://evil.example/api/jobs", localHost), 421, "localhost only"},
	{"a host that begins like this one", getOf("/api/jobs", "Host: 127.0.0.1.evil.example\r\n"), 421, "localhost only"},
	{"a host behind a user's name", getOf("/api/jobs", "Host: localhost@evil.example\r\n"), 400, "malformed Host header"},
	{"no host", "GET /api/jobs HTTP/1.1\r\n\r\n", 400, "Bad Request"},
	{"two hosts", getOf("/api/jobs", localHost, "Host: evil.example\r\n"), 400, "Bad Request"},
	{"a page of another site", postOf("{}", "Origin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\n"), 403, "a web page of another origin may not do this"},
	{"a webhook of our own", postOf("{}", "User-Agent: Ringback/1\r\nWebhook-Id: x\r\n"), 508, "this is a webhook of Ringback sent to Ringback"},
}

// fire sends a shot and returns what is wrong with the answer.
func (s shot) fire(ctx context.Context, addr string) error {
	c, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	go func() { _, _ = io.WriteString(c, s.request) }() // the answer may arrive before everything has been sent
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return fmt.Errorf("%s: no answer: %w", s.name, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return fmt.Errorf("%s: half an answer: %w", s.name, err)
	case resp.StatusCode != s.status || !bytes.Contains(body, []byte(s.says)):
		return fmt.Errorf("%s: got %d %.300s, want %d %s", s.name, resp.StatusCode, body, s.status, s.says)
	case len(body) > 4<<10:
		return fmt.Errorf("%s: the answer has %d bytes", s.name, len(body))
	}
	return nil
}

// shoot fires all shots, again and again.
func shoot(ctx context.Context, addr string) error {
	for {
		for _, s := range shots {
			if err := s.fire(ctx, addr); err != nil && !over(ctx, err) {
				return err
			}
			if !sleep(ctx, 20*time.Millisecond) {
				return nil
			}
		}
	}
}

// siege only costs time, on many connections at once. It gives up when ctx ends, which is
// no error; if the server ends it before, the answer must be right.
type siege struct {
	name  string
	conns int
	lay   func(ctx context.Context, c net.Conn) error
}

var sieges = []siege{
	{"a header that drips", 50, func(ctx context.Context, c net.Conn) error {
		return cutOff(ctx, c, 0, "", "GET /healthz HTTP/1.1\r\n"+localHost+"X-Drip: ", "x")
	}},
	{"a request line that drips", 50, func(ctx context.Context, c net.Conn) error {
		return cutOff(ctx, c, 0, "", "GET /healthz?", "x")
	}},
	{"a body that drips", 50, func(ctx context.Context, c net.Conn) error {
		return cutOff(ctx, c, http.StatusBadRequest, "the body came too slowly",
			"POST /api/generate HTTP/1.1\r\n"+localHost+"Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n", " ")
	}},
	{"chunks that drip", 50, func(ctx context.Context, c net.Conn) error {
		return cutOff(ctx, c, http.StatusBadRequest, "the body came too slowly",
			"POST /api/generate HTTP/1.1\r\n"+localHost+"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n")
	}},
	{"silence", 600, func(ctx context.Context, c net.Conn) error {
		return cutOff(ctx, c, 0, "", "", "")
	}},
	{"silence behind a request", 600, func(ctx context.Context, c net.Conn) error {
		return cutOff(ctx, c, http.StatusOK, "", getOf("/healthz", localHost), "")
	}},
	{"a body without end", 1, func(ctx context.Context, c net.Conn) error {
		go pour(c, "POST /api/generate HTTP/1.1\r\n"+localHost+"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
			"40000\r\n"+strings.Repeat(" ", 0x40000)+"\r\n")
		return answered(ctx, c, http.StatusRequestEntityTooLarge, "the body is larger than 33554432 bytes")
	}},
	{"40 MiB", 1, func(ctx context.Context, c net.Conn) error {
		go pour(c, "POST /api/generate HTTP/1.1\r\n"+localHost+"Content-Type: application/json\r\nContent-Length: 41943040\r\n\r\n",
			strings.Repeat(" ", 0x40000))
		return answered(ctx, c, http.StatusRequestEntityTooLarge, "the body is larger than 33554432 bytes")
	}},
	{"headers without end", 1, func(ctx context.Context, c net.Conn) error {
		go pour(c, "GET /healthz HTTP/1.1\r\n"+localHost, "X-Endless: "+strings.Repeat("x", 4<<10)+"\r\n")
		return answered(ctx, c, http.StatusRequestHeaderFieldsTooLarge, "headers are too large")
	}},
}

// unread requests a large job again and again, and reads next to nothing of it.
func unread(job string) siege {
	return siege{"an answer that nobody reads", 5, func(ctx context.Context, c net.Conn) error {
		_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		if _, err := io.WriteString(c, getOf("/api/jobs/"+job, localHost)); err != nil {
			return err
		}
		for sleep(ctx, 500*time.Millisecond) {
			if _, err := io.ReadFull(c, make([]byte, 10)); err != nil {
				return nil //nolint:nilerr // it was cut off
			}
		}
		return nil
	}}
}

// against lays the siege, again whenever the server ends it.
func (s siege) against(ctx context.Context, addr string) error {
	g, ctx := errgroup.WithContext(ctx)
	for range s.conns {
		g.Go(func() error {
			for sleep(ctx, rand.N(2*time.Second)) {
				c, err := dial(ctx, addr)
				if err == nil {
					err = s.lay(ctx, c)
					c.Close()
				}
				if err != nil && !over(ctx, err) {
					return fmt.Errorf("%s: %w", s.name, err)
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// cutOff sends first and then a piece from time to time, until the server ends it, with an
// answer or without one (status 0), or ctx ends.
func cutOff(ctx context.Context, c net.Conn, status int, says, first, piece string) error {
	go func() {
		if _, err := io.WriteString(c, first); err == nil {
			drip(c, piece, 500*time.Millisecond)
		}
	}()
	if status != 0 {
		if err := answered(ctx, c, status, says); err != nil {
			return err
		}
	}
	if got, err := io.ReadAll(c); len(got) > 0 && ctx.Err() == nil {
		return fmt.Errorf("got %q, %v, want the end", got, err) //nolint:errorlint // err may be nil
	}
	return nil
}

// answered reads one answer. It is no error if ctx ends before it has arrived.
func answered(ctx context.Context, c net.Conn, status int, says string) error {
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err == nil {
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != status || !bytes.Contains(body, []byte(says)) {
			err = fmt.Errorf("got %d %.300s, want %d %s", resp.StatusCode, body, status, says)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// drip writes a piece from time to time until the other side is gone.
func drip(c net.Conn, piece string, pause time.Duration) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		<-tick.C
		if _, err := io.WriteString(c, piece); err != nil || piece == "" {
			return
		}
	}
}

// pour writes at most 8 MiB a second until the other side is gone: more would cost the
// neighbours the processor, on this side of the API.
func pour(c net.Conn, first, piece string) {
	if _, err := io.WriteString(c, first); err == nil {
		drip(c, piece, time.Duration(len(piece))*time.Second/(8<<20))
	}
}

// over reports whether err is only the end of ctx, which net may report a moment before ctx
// does.
func over(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded)
}

// sleep reports whether the time passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// dial connects to the server; the connection ends with ctx.
func dial(ctx context.Context, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err == nil {
		context.AfterFunc(ctx, func() { c.Close() })
	}
	return c, err
}

// bomb returns that many MiB of nothing, compressed by gzip to a thousandth.
func bomb(size int) string {
	var b strings.Builder
	z := gzip.NewWriter(&b)
	_, _ = z.Write(make([]byte, 1<<20))
	_ = z.Close()
	return strings.Repeat(b.String(), size) // members of gzip may follow each other
}
