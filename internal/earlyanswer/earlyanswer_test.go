package earlyanswer_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ringback/ringback/internal/earlyanswer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newTransport returns one set up for this package.
func newTransport(t *testing.T) *http.Transport {
	t.Helper()
	transport := &http.Transport{
		DialContext:           earlyanswer.Dial(new(net.Dialer).DialContext),
		ExpectContinueTimeout: earlyanswer.ExpectTimeout,
		TLSClientConfig:       &tls.Config{InsecureSkipVerify: true},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

func post(t *testing.T, transport *http.Transport, url string, size int) (*http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { earlyanswer.Begin(info.Conn) }})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(make([]byte, size)))
	if err != nil {
		t.Fatal(err)
	}
	return earlyanswer.RoundTrip(transport, r)
}

// serve returns the address of a server that handles its connections with speak.
func serve(t *testing.T, wrap func(net.Conn) net.Conn, speak func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c = wrap(c)
			speak(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func plain(c net.Conn) net.Conn { return c }

// head reads a request's header.
func head(c net.Conn) *bufio.Reader {
	r := bufio.NewReader(c)
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = r.ReadString('\n'); err != nil {
			return r
		}
	}
	return r
}

func TestAServerThatAnswersAndClosesBeforeItHasReadAllIsHeard(t *testing.T) {
	certified := httptest.NewTLSServer(nil)
	defer certified.Close()
	for scheme, wrap := range map[string]func(net.Conn) net.Conn{
		"http":  plain,
		"https": func(c net.Conn) net.Conn { return tls.Server(c, certified.TLS) },
	} {
		for _, status := range []int{200, 413, 429} {
			for _, size := range []int{200 << 10, 900 << 10, 8 << 20} {
				t.Run(fmt.Sprint(scheme, status, size), func(t *testing.T) {
					address := serve(t, wrap, func(c net.Conn) {
						head(c)
						fmt.Fprintf(c, "HTTP/1.1 %d Early\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", status)
					})
					transport := newTransport(t)
					for range 10 {
						response, err := post(t, transport, scheme+"://"+address, size)
						if err != nil {
							t.Fatalf("got %v, want the answer", err)
						}
						body, err := io.ReadAll(response.Body)
						response.Body.Close()
						if response.StatusCode != status || string(body) != "hello" || err != nil {
							t.Fatalf("got %d, %q, %v; want %d, hello", response.StatusCode, body, err, status)
						}
					}
				})
			}
		}
	}
}

func TestAServerThatClosesWithoutAnAnswerIsAnError(t *testing.T) {
	address := serve(t, plain, func(c net.Conn) { head(c) })
	response, err := post(t, newTransport(t), "http://"+address, 900<<10)
	if err == nil {
		response.Body.Close()
		t.Fatalf("got %d, want an error", response.StatusCode)
	}
}

func TestAServerIsAskedBeforeALargeBodyIsSentToIt(t *testing.T) {
	for size, asks := range map[int]bool{1<<20 - 1: false, 1 << 20: true} {
		var expect string
		var length int64
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			expect = r.Header.Get("Expect")
			length, _ = io.Copy(io.Discard, r.Body)
		}))
		transport := newTransport(t)
		response, err := post(t, transport, server.URL, size)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if (expect == "100-continue") != asks || length != int64(size) {
			t.Errorf("%d bytes: got %d bytes with the expectation %q, want them to be asked for: %v", size, length, expect, asks)
		}
		transport.CloseIdleConnections()
		server.Close()
	}
}

func TestABodyIsSentToAServerThatDoesNotKnowTheQuestion(t *testing.T) {
	for _, refusal := range []string{"", "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"} {
		address := serve(t, plain, func(c net.Conn) {
			r := bufio.NewReader(c)
			request, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if request.Header.Get("Expect") != "" && refusal != "" {
				io.WriteString(c, refusal)
				return
			}
			n, _ := io.Copy(io.Discard, request.Body)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%d", n)
		})
		response, err := post(t, newTransport(t), "http://"+address, 2<<20)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if want := "2097152"; strings.TrimSpace(string(body)) != want {
			t.Errorf("got %d %q, want %s", response.StatusCode, body, want)
		}
	}
}
