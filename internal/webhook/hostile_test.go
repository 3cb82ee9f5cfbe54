package webhook

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringback/ringback"
)

// rawReceiver answers on bare connections, from which serve has read nothing yet. It
// returns the receiver's URL.
func rawReceiver(t *testing.T, serve func(c *net.TCPConn, in *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				serve(c.(*net.TCPConn), bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return "http://" + l.Addr().String()
}

// readRequest reads one whole request.
func readRequest(in *bufio.Reader) (*http.Request, error) {
	req, err := http.ReadRequest(in)
	if err == nil {
		_, err = io.Copy(io.Discard, req.Body)
	}
	return req, err
}

// drip writes a piece to c again and again, with pauses, until the other side is gone.
func drip(c net.Conn, piece string) {
	for {
		if _, err := io.WriteString(c, piece); err != nil {
			return
		}
		time.Sleep(time.Millisecond) // a drip is slow by nature: there is no event to wait for
	}
}

// shortTimeout is for tries that end by their timeout.
const shortTimeout = time.Second

func TestHostileAnswers(t *testing.T) {
	type want struct {
		verdict Verdict
		class   ringback.TryError
		code    int
	}
	say := func(answer string) func(*net.TCPConn) {
		return func(c *net.TCPConn) { io.WriteString(c, answer) }
	}
	then := func(answer, piece string) func(*net.TCPConn) {
		return func(c *net.TCPConn) { io.WriteString(c, answer); drip(c, piece) }
	}
	broken := want{Retry, ringback.TryStatus, 0}
	for _, c := range []struct {
		name   string
		answer func(*net.TCPConn)
		want   want
	}{
		{"silence", func(c *net.TCPConn) { io.Copy(io.Discard, c) }, want{Retry, ringback.TryTimeout, 0}},
		{"a dripping status line", then("HTTP/1.1 200 ", "O"), want{Retry, ringback.TryTimeout, 0}},
		{"a dripping header", then("HTTP/1.1 200 OK\r\nX: ", "a"), want{Retry, ringback.TryTimeout, 0}},
		{"a dripping body behind 200", then("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "a"), want{Delivered, "", 200}},
		{"a dripping body behind 500", then("HTTP/1.1 500 No\r\nContent-Length: 99999999\r\n\r\n", "a"), want{Retry, ringback.TryStatus, 500}},
		{"an endless body behind 200", then("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("a", 1<<20)), want{Delivered, "", 200}},
		{"an endless body behind 500", then("HTTP/1.1 500 No\r\n\r\n", strings.Repeat("a", 1<<20)), want{Retry, ringback.TryStatus, 500}},
		{"an endless header", then("HTTP/1.1 200 OK\r\n", "X-Padding: "+strings.Repeat("a", 1<<10)+"\r\n"), broken},
		{"a short body behind 200", say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"), want{Delivered, "", 200}},
		{"a bad chunk behind 200", say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), want{Delivered, "", 200}},
		{"a short body behind 410", say("HTTP/1.1 410 Gone\r\nContent-Length: 100\r\n\r\nshort"), want{Dead, ringback.TryStatus, 410}},
		{"two lengths", say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"), broken},
		{"a negative length", say("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), broken},
		{"status 99", say("HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n"), broken},
		{"status 1000", say("HTTP/1.1 1000 High\r\nContent-Length: 0\r\n\r\n"), broken},
		{"status 999", say("HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"), want{Retry, ringback.TryStatus, 999}},
		{"no HTTP", say("SSH-2.0-OpenSSH_9.9\r\n"), broken},
		{"HTTP/2", say("\x00\x00\x00\x04\x00\x00\x00\x00\x00"), broken},
		{"a header line without a colon", say("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"), broken},
		{"101", say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello"), want{Retry, ringback.TryStatus, 101}},
		{"1xx for ever", then("", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 100)), broken},
		{"a few 1xx and then 200", say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), want{Delivered, "", 200}},
		{"a close before an answer", func(*net.TCPConn) {}, want{Retry, ringback.TryReset, 0}},
		{"a close in the header", say("HTTP/1.1 200 OK\r\nX: "), want{Retry, ringback.TryReset, 0}},
		{"a reset", func(c *net.TCPConn) { c.SetLinger(0) }, want{Retry, ringback.TryReset, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			url := rawReceiver(t, func(conn *net.TCPConn, in *bufio.Reader) {
				if _, err := readRequest(in); err == nil {
					requests.Add(1)
					c.answer(conn)
				}
			})
			s := newSender(t, SenderConfig{})
			if c.want.class == ringback.TryTimeout || c.name == "a dripping body behind 500" {
				s.timeout = shortTimeout
			}
			got := s.Send(t.Context(), message(url))
			if (want{got.Verdict, got.Class, got.StatusCode}) != c.want {
				t.Errorf("Send: got %+v, want %+v", got, c.want)
			}
			if requests.Load() != 1 {
				t.Errorf("the receiver saw %d requests", requests.Load())
			}
			if got.Took > s.timeout+5*time.Second {
				t.Errorf("the try took %s, its timeout is %s", got.Took, s.timeout)
			}
		})
	}
}

func TestABodyBehind200HoldsTheTryForASecondAtMost(t *testing.T) {
	t.Parallel()
	url := rawReceiver(t, func(c *net.TCPConn, in *bufio.Reader) {
		readRequest(in)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
		io.Copy(io.Discard, c) // until the other side closes
	})
	s := newSender(t, SenderConfig{Timeout: 30 * time.Second})
	got := s.Send(t.Context(), message(url))
	if got.Verdict != Delivered || got.Took < bodyGrace || got.Took > 15*time.Second {
		t.Errorf("Send: got %+v", got)
	}
}

func TestAGzipBombIsNotUnfolded(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	z, err := gzip.NewWriterLevel(&bomb, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(z, letters{}, 4<<20); err != nil {
		t.Fatal(err)
	}
	z.Close()
	r := receiver(t, func(w http.ResponseWriter, req *http.Request) {
		if accept := req.Header.Get("Accept-Encoding"); accept != "" {
			t.Errorf("Accept-Encoding: %s", accept)
		}
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(bomb.Bytes())
	})
	s := newSender(t, SenderConfig{})
	if got := s.Send(t.Context(), message(r.URL)); got.Verdict != Delivered || got.Response != "" {
		t.Errorf("Send: got %+v", got)
	}
}

type letters struct{}

func (letters) Read(b []byte) (int, error) { return copy(b, bytes.Repeat([]byte("a"), len(b))), nil }

func TestNoMoreThan64KiBOfAnAnswerAreRead(t *testing.T) {
	for _, size := range []int{maxReadBytes - 1, maxReadBytes + 1} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			closed := make(chan error, 1)
			url := rawReceiver(t, func(c *net.TCPConn, in *bufio.Reader) {
				for range 2 {
					if _, err := readRequest(in); err != nil {
						closed <- err
						return
					}
					fmt.Fprintf(c, "HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("a", size))
				}
				closed <- nil
			})
			s := newSender(t, SenderConfig{})
			s.Send(t.Context(), message(url))
			if size < maxReadBytes {
				s.Send(t.Context(), message(url))
			}
			if err := <-closed; (err == nil) != (size < maxReadBytes) {
				t.Errorf("after a body of %d bytes the connection gives %v", size, err)
			}
		})
	}
}

// A receiver may close an idle connection at the very moment at which we send on it. That
// is neither a failure nor a try.
func TestAConnectionThatWasClosedWhileIdleCostsNoTry(t *testing.T) {
	for _, how := range []string{"close", "reset"} {
		t.Run(how, func(t *testing.T) {
			var conns, answered atomic.Int32
			url := rawReceiver(t, func(c *net.TCPConn, in *bufio.Reader) {
				first := conns.Add(1) == 1
				for {
					req, err := readRequest(in)
					if err != nil {
						return
					}
					if first && answered.Load() == 1 { // the second request on the first connection
						if how == "reset" {
							c.SetLinger(0)
						}
						return
					}
					if err := ringback.Verify(req.Header, []byte(`{"type":"job.completed"}`), testSecret); err != nil {
						t.Errorf("Verify: %v", err)
					}
					answered.Add(1)
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			})
			s := newSender(t, SenderConfig{})
			for i := range 2 {
				if got := s.Send(t.Context(), message(url)); got.Verdict != Delivered {
					t.Fatalf("try %d: got %+v", i+1, got)
				}
			}
			if conns.Load() != 2 || answered.Load() != 2 {
				t.Errorf("%d connections, %d answers, want 2 of each", conns.Load(), answered.Load())
			}
		})
	}
}

// It is repeated once, on a fresh connection; a receiver that closes that one too has
// failed.
func TestAConnectionThatIsClosedTwiceIsAFailure(t *testing.T) {
	var requests atomic.Int32
	url := rawReceiver(t, func(c *net.TCPConn, in *bufio.Reader) {
		for {
			if _, err := readRequest(in); err != nil || requests.Add(1) > 1 {
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	s := newSender(t, SenderConfig{})
	s.Send(t.Context(), message(url))
	if got := s.Send(t.Context(), message(url)); got.Verdict != Retry || got.Class != ringback.TryReset {
		t.Errorf("Send: got %+v", got)
	}
	if requests.Load() != 3 {
		t.Errorf("the receiver saw %d requests, want 3", requests.Load())
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	s := newSender(t, SenderConfig{})
	got := s.Send(t.Context(), message("http://"+l.Addr().String()))
	if got.Verdict != Retry || got.Class != ringback.TryRefused || strings.Contains(got.Error, "127.0.0.1") {
		t.Errorf("Send: got %+v", got)
	}
}

func TestNamesThatDoNotResolve(t *testing.T) {
	t.Parallel()
	s := newSender(t, SenderConfig{Resolver: newFakeDNS(nil).resolver()})
	if got := s.Send(t.Context(), message("https://nowhere.example/")); got.Verdict != Retry || got.Class != ringback.TryDNS {
		t.Errorf("a name that does not exist: got %+v", got)
	}
	silent := newSender(t, SenderConfig{Resolver: silentDNS(t)})
	silent.timeout = shortTimeout
	if got := silent.Send(t.Context(), message("https://nowhere.example/")); got.Verdict != Retry || got.Class != ringback.TryTimeout {
		t.Errorf("a name server that is silent: got %+v", got)
	}
}

func TestTLS(t *testing.T) {
	hostCert := func(name string, from, to time.Time) (tls.Certificate, *x509.CertPool) {
		return certificate(t, name, from, to)
	}
	now := time.Now()
	good, pool := hostCert("127.0.0.1", now.Add(-time.Hour), now.Add(time.Hour))
	other, otherPool := hostCert("192.0.2.1", now.Add(-time.Hour), now.Add(time.Hour))
	old, oldPool := hostCert("127.0.0.1", now.Add(-2*time.Hour), now.Add(-time.Hour))
	for _, c := range []struct {
		name  string
		conf  *tls.Config
		pool  *x509.CertPool
		error string // "" means delivered
	}{
		{"a good certificate", &tls.Config{Certificates: []tls.Certificate{good}}, pool, ""},
		{"HTTP/2 offered", &tls.Config{Certificates: []tls.Certificate{good}, NextProtos: []string{"h2", "http/1.1"}}, pool, ""},
		{"an unknown authority", &tls.Config{Certificates: []tls.Certificate{good}}, nil, "not signed by a known authority"},
		{"another name", &tls.Config{Certificates: []tls.Certificate{other}}, otherPool, "for another name"},
		{"an old certificate", &tls.Config{Certificates: []tls.Certificate{old}}, oldPool, "has expired"},
		{"TLS 1.1 only", &tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, pool, "TLS 1.2"},
		{"a wish for a client's certificate", &tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}, pool, "TLS with the callback host failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if req.Proto != "HTTP/1.1" {
					t.Errorf("the request came over %s", req.Proto)
				}
			}))
			r.TLS, r.EnableHTTP2 = c.conf, len(c.conf.NextProtos) > 0
			r.Config.ErrorLog = log.New(io.Discard, "", 0)
			r.StartTLS()
			t.Cleanup(r.Close)
			s := newSender(t, SenderConfig{RootCAs: c.pool})
			got := s.Send(t.Context(), message(r.URL))
			if c.error == "" && got.Verdict != Delivered {
				t.Errorf("Send: got %+v", got)
			}
			if c.error != "" && (got.Verdict != Retry || got.Class != ringback.TryTLS || !strings.Contains(got.Error, c.error)) {
				t.Errorf("Send: got %+v, want %q", got, c.error)
			}
		})
	}
	t.Run("no TLS", func(t *testing.T) {
		r := receiver(t, func(http.ResponseWriter, *http.Request) {})
		s := newSender(t, SenderConfig{})
		if got := s.Send(t.Context(), message(strings.Replace(r.URL, "http:", "https:", 1))); got.Class != ringback.TryTLS {
			t.Errorf("Send: got %+v", got)
		}
	})
}

// net/http continues a handshake after the request that wanted it has ended.
func TestATLSHandshakeThatHangsEndsWithClose(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	url := rawReceiver(t, func(c *net.TCPConn, in *bufio.Reader) {
		io.Copy(io.Discard, in)
		close(gone)
	})
	s := newSender(t, SenderConfig{})
	s.timeout = shortTimeout
	s.reuse.TLSHandshakeTimeout = time.Hour
	if got := s.Send(t.Context(), message(strings.Replace(url, "http:", "https:", 1))); got.Class != ringback.TryTimeout {
		t.Errorf("Send: got %+v", got)
	}
	s.Close()
	<-gone
}

// certificate makes a self-signed certificate.
func certificate(t *testing.T, ip string, from, to time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: ip}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.ParseIP(ip)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}
