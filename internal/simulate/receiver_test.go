package simulate

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// house is a receiver on loopback.
type house struct {
	*Receiver
	server *httptest.Server
}

func newHouse(t *testing.T, c ReceiverConfig) house {
	t.Helper()
	r, err := NewReceiver(c)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return house{r, server}
}

// deliver sends a webhook, signed if there is a secret.
func (h house) deliver(ctx context.Context, id, body, secret string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.server.URL+"/hook", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	sign(req.Header, id, body, secret)
	return h.server.Client().Do(req)
}

func sign(header http.Header, id, body, secret string) {
	if id != "" {
		header.Set("webhook-id", id)
	}
	if secret == "" {
		return
	}
	mac := hmac.New(sha256.New, []byte(secret))
	io.WriteString(mac, body)
	header.Set("X-Webhook-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	wh, err := standardwebhooks.NewWebhookRaw([]byte(secret))
	if strings.HasPrefix(secret, "whsec_") {
		wh, err = standardwebhooks.NewWebhook(secret)
	}
	if err != nil {
		panic(err)
	}
	now := time.Now()
	signature, _ := wh.Sign(id, now, []byte(body))
	header.Set("webhook-timestamp", fmt.Sprint(now.Unix()))
	header.Set("webhook-signature", signature)
}

// status delivers and returns the response's status.
func (h house) status(t *testing.T, id, body, secret string) int {
	t.Helper()
	resp, err := h.deliver(t.Context(), id, body, secret)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

const (
	secret    = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
	completed = `{"type":"job.completed","job_id":"j1","status":"completed","result":"Grüße"}`
)

func TestSignatures(t *testing.T) {
	t.Parallel()
	t.Run("the vector of both signatures is right", func(t *testing.T) {
		t.Parallel()
		v, err := newVerifier(secret)
		if err != nil {
			t.Fatal(err)
		}
		body := []byte(`{"type":"job.completed","timestamp":"2026-01-01T00:00:00Z","job_id":"job_1","status":"completed","result":"Grüße 👋\n<b>"}`)
		h := http.Header{}
		h.Set("X-Webhook-Signature", "sha256=53e3da334d838b8ff44e1d079b41436dbddc5140eb3f06eab126e930fe1aae27")
		h.Set("webhook-id", "dlv_01JXYZ0123456789ABCDEFGHJK")
		h.Set("webhook-timestamp", "1767225600")
		h.Set("webhook-signature", "v1,lOIq+/Dcj36OSpctdxO2qrchwsM7ROJeKg0AdTGgCNw= v1,5/uoZ3O3BgfrBt/P9WtgZKaLJgf2gMyzrKABEXggZrU=")
		if err := v.simple(h, body); err != nil {
			t.Errorf("simple: %v", err)
		}
		if err := v.standardHeaders(h, body); !errors.Is(err, standardwebhooks.ErrMessageTooOld) {
			t.Errorf("standard: got %v, want only that it is too old", err)
		}
		if err := v.standard.VerifyIgnoringTimestamp(body, h); err != nil {
			t.Errorf("standard without its time: %v", err)
		}
	})

	for _, s := range []string{secret, "a plain secret, 24 bytes"} {
		t.Run("a delivery signed with "+s+" is verified by both", func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, ReceiverConfig{Secret: s})
			h.status(t, "d1", completed, s)
			d := h.Deliveries()[0]
			if !d.Verified() || len(h.Violations()) != 0 {
				t.Fatalf("simple: %v; standard: %v; violations: %q", d.SimpleErr, d.StandardErr, h.Violations())
			}
			if d.JobID != "j1" || d.Type != "job.completed" || d.Status != "completed" || string(d.Body) != completed || d.Path != "/hook" {
				t.Fatalf("delivery: %+v", d)
			}
		})
	}

	for name, spoil := range map[string]func(http.Header){
		"without signatures":         func(h http.Header) { h.Del("X-Webhook-Signature"); h.Del("webhook-signature") },
		"with another body's":        func(h http.Header) { sign(h, "d1", completed+" ", secret) },
		"with another secret's":      func(h http.Header) { sign(h, "d1", completed, "whsec_8O/u7ezr6uno5+bl5OPi4eDf3t3c29rZ") },
		"with two lines of each":     func(h http.Header) { double(h, "webhook-signature"); double(h, "X-Webhook-Signature") },
		"with half of the signature": func(h http.Header) { h.Set("X-Webhook-Signature", "sha256="); h.Set("webhook-signature", "v1,") },
	} {
		t.Run("a delivery "+name+" fails both", func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, ReceiverConfig{Secret: secret})
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, h.server.URL, strings.NewReader(completed))
			sign(req.Header, "d1", completed, secret)
			spoil(req.Header)
			resp, err := h.server.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			d := h.Deliveries()[0]
			if d.SimpleErr == nil || d.StandardErr == nil || len(h.Violations()) != 1 {
				t.Fatalf("simple: %v; standard: %v; violations: %q", d.SimpleErr, d.StandardErr, h.Violations())
			}
		})
	}

	t.Run("an old timestamp, a dot in the id: only Standard Webhooks sees them", func(t *testing.T) {
		t.Parallel()
		v, _ := newVerifier(secret)
		for _, change := range []func(http.Header){
			func(h http.Header) { h.Set("webhook-timestamp", fmt.Sprint(time.Now().Add(-time.Hour).Unix())) },
			func(h http.Header) { sign(h, "d.1", completed, secret) },
		} {
			h := http.Header{}
			sign(h, "d1", completed, secret)
			change(h)
			if err := v.simple(h, []byte(completed)); err != nil {
				t.Errorf("simple: %v", err)
			}
			if err := v.standardHeaders(h, []byte(completed)); err == nil {
				t.Error("standard: no error")
			}
		}
	})

	t.Run("a secret that does not decode is named", func(t *testing.T) {
		t.Parallel()
		if _, err := NewReceiver(ReceiverConfig{Secret: "whsec_***"}); err == nil || !strings.Contains(err.Error(), "secret") {
			t.Fatalf("got %v", err)
		}
	})
}

func double(h http.Header, name string) { h.Add(name, h.Get(name)) }

func TestScript(t *testing.T) {
	t.Parallel()
	t.Run("each id has the script for itself, and the last status stays", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, ReceiverConfig{Respond: []int{500, 503, 200}})
		for _, id := range []string{"d1", "d2"} {
			var got []int
			for range 4 {
				got = append(got, h.status(t, id, "{}", ""))
			}
			if want := []int{500, 503, 200, 200}; !slices.Equal(got, want) {
				t.Fatalf("%s: got %v, want %v", id, got, want)
			}
		}
	})

	t.Run("a function may decide instead", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, ReceiverConfig{Answer: func(d Delivery) Answer {
			return Answer{Status: 400 + d.Number, Header: http.Header{"Retry-After": {"7"}}, Body: d.ID}
		}})
		resp, err := h.deliver(t.Context(), "d1", "{}", "")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("Retry-After") != "7" || string(body) != "d1" {
			t.Fatalf("got %d, %q, %q", resp.StatusCode, resp.Header.Get("Retry-After"), body)
		}
	})

	t.Run("one waits for deliveries and not for a time", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, ReceiverConfig{Forget: true})
		var wg sync.WaitGroup
		for n := range 20 {
			wg.Go(func() {
				if resp, err := h.deliver(t.Context(), fmt.Sprint("d", n%10), "{}", ""); err == nil {
					resp.Body.Close()
				}
			})
		}
		all, err := h.Wait(soon(t), 20)
		if err != nil {
			t.Fatal(err)
		}
		for i, d := range all {
			if d.Number != i+1 || d.Body != nil || d.Header != nil {
				t.Fatalf("delivery %d: %+v", i, d)
			}
		}
		second, err := h.WaitFor(soon(t), func(d Delivery) bool { return d.ID == "d7" && d.Try == 2 })
		if err != nil || second.Number == 0 {
			t.Fatalf("second try of d7: %+v, %v", second, err)
		}
		wg.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if all, err := h.Wait(ctx, 21); !errors.Is(err, context.Canceled) || len(all) != 20 {
			t.Fatalf("waiting in vain: %d deliveries, %v", len(all), err)
		}
	})
}

func TestViolations(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		send [][2]string // id, body
		want []string    // a part of each violation
	}{
		"the same id with the same bytes is none":    {send: [][2]string{{"d1", completed}, {"d1", completed}}},
		"the same id in a smaller form is none":      {send: [][2]string{{"d1", completed}, {"d1", `{"type":"job.completed","job_id":"j1"}`}, {"d1", completed}}},
		"the same id with other bytes is one":        {[][2]string{{"d1", "{}"}, {"d1", "{ }"}, {"d1", "{}"}}, []string{"try 2 of d1"}},
		"a job that ends under two ids is one":       {[][2]string{{"d1", completed}, {"d2", `{"type":"job.failed","job_id":"j1"}`}}, []string{"j1 ended twice"}},
		"two jobs that end are none":                 {send: [][2]string{{"d1", completed}, {"d2", `{"type":"job.failed","job_id":"j2"}`}}},
		"a job's other events beside its end: none":  {send: [][2]string{{"d1", `{"type":"job.started","job_id":"j1"}`}, {"d2", completed}}},
		"a delivery without an id is one, each time": {[][2]string{{"", "{}"}, {"", "[]"}}, []string{"without webhook-id", "without webhook-id"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, ReceiverConfig{})
			for _, d := range c.send {
				h.status(t, d[0], d[1], "")
			}
			got := h.Violations()
			if len(got) != len(c.want) {
				t.Fatalf("got %q, want %q", got, c.want)
			}
			for i := range got {
				if !strings.Contains(got[i], c.want[i]) {
					t.Fatalf("got %q, want %q", got, c.want)
				}
			}
		})
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	with := func(t *testing.T, a Answer) house {
		return newHouse(t, ReceiverConfig{Answer: func(Delivery) Answer { return a }})
	}

	for _, fault := range []Fault{Hang, DripHeader} {
		t.Run(string(fault)+": no answer while the client waits, and the delivery is on the books", func(t *testing.T) {
			t.Parallel()
			h := with(t, Answer{Fault: fault})
			ctx, leave := context.WithCancel(t.Context())
			go func() {
				_, _ = h.Wait(soon(t), 1)
				leave()
			}()
			if resp, err := h.deliver(ctx, "d1", "{}", ""); !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v, %v", resp, err)
			}
		})
	}

	t.Run("reset: the client sees the connection reset", func(t *testing.T) {
		t.Parallel()
		if _, err := with(t, Answer{Fault: Reset}).deliver(t.Context(), "d1", "{}", ""); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("got %v", err)
		}
	})

	t.Run("close: the client sees an end instead of an answer", func(t *testing.T) {
		t.Parallel()
		if _, err := with(t, Answer{Fault: Close}).deliver(t.Context(), "d1", "{}", ""); !errors.Is(err, io.EOF) {
			t.Fatalf("got %v", err)
		}
	})

	t.Run("garbage: the client sees no HTTP", func(t *testing.T) {
		t.Parallel()
		if _, err := with(t, Answer{Fault: Garbage}).deliver(t.Context(), "d1", "{}", ""); err == nil || !strings.Contains(err.Error(), "malformed") {
			t.Fatalf("got %v", err)
		}
	})

	t.Run("short body: status, then an unexpected end", func(t *testing.T) {
		t.Parallel()
		resp, err := with(t, Answer{Status: 202, Fault: ShortBody, Body: "abc"}).deliver(t.Context(), "d1", "{}", "")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); resp.StatusCode != http.StatusAccepted || string(body) != "abc" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d, %q, %v", resp.StatusCode, body, err)
		}
	})

	for _, fault := range []Fault{DripBody, EndlessBody} {
		t.Run(string(fault)+": the status at once, then bytes without end", func(t *testing.T) {
			t.Parallel()
			resp, err := with(t, Answer{Fault: fault, Delay: time.Millisecond}).deliver(t.Context(), "d1", "{}", "")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			n, err := io.CopyN(io.Discard, resp.Body, 20)
			if resp.StatusCode != http.StatusOK || n != 20 || err != nil {
				t.Fatalf("%d, %d bytes, %v", resp.StatusCode, n, err)
			}
		})
	}

	t.Run("a delay comes before the answer", func(t *testing.T) {
		t.Parallel()
		start := time.Now()
		h := with(t, Answer{Delay: 20 * time.Millisecond})
		if h.status(t, "d1", "{}", ""); time.Since(start) < 20*time.Millisecond {
			t.Fatalf("the answer came after %v", time.Since(start))
		}
	})

	t.Run("a body that breaks off was not delivered", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, ReceiverConfig{})
		conn, err := net.Dial("tcp", h.server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, "POST /hook HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{}")
		conn.(*net.TCPConn).CloseWrite()
		answer, _ := io.ReadAll(conn)
		conn.Close()
		if len(answer) > 0 {
			t.Fatalf("answered %q", answer)
		}
		if h.status(t, "d1", "{}", ""); len(h.Deliveries()) != 1 || h.Deliveries()[0].ID != "d1" {
			t.Fatalf("got %+v", h.Deliveries())
		}
	})
}
