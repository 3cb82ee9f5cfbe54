//go:build siege && unix

package e2e_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"
)

// The attackers of the API: strangers, who have no key, and callers, who have one.

// A shape is the text of a body of any size: head, then unit repeatedly, then tail.
type shape struct{ name, head, unit, tail string }

// siegeJob is the beginning of the body of a job without webhooks.
const siegeJob = `{"model":"sim/good","max_attempts":1,"max_wait_seconds":10,"result_ttl_seconds":60,`

const noWebhook = siegeJob + `"events":[],`

var bodies = []shape{
	{"messages of numbers", noWebhook + `"messages":[0`, `,0`, `]}`},
	{"messages of empty objects", noWebhook + `"messages":[{}`, `,{}`, `]}`},
	{"messages of small messages", noWebhook + `"messages":[{"role":"user","content":"a"}`, `,{"role":"user","content":"a"}`, `]}`},
	{"content of small blocks", noWebhook + `"messages":[{"role":"user","content":[{"type":"text","text":"a"}`, `,{"type":"text","text":"a"}`, `]}]}`},
	{"a prompt", noWebhook + `"prompt":"`, "all work and no play ", `"}`},
	{"a prompt of escapes", noWebhook + `"prompt":"`, `\u00e9\n\"`, `"}`},
	{"a system prompt", noWebhook + `"prompt":"a","system":"`, "all work and no play ", `"}`},
	{"events", siegeJob + `"prompt":"a","events":["job.completed"`, `,"job.completed"`, `]}`},
	{"events of all names", siegeJob + `"prompt":"a","callback_url":"http://127.0.0.1:1024/","events":["x"`, `,"xyzzy"`, `]}`},
	{"fallback_models", noWebhook + `"prompt":"a","fallback_models":["sim/good"`, `,"sim/good"`, `]}`},
	{"params of the same name", noWebhook + `"prompt":"a","params":{"a":0`, `,"a":0`, `}}`},
	{"tools of many", noWebhook + `"prompt":"a","params":{"tools":[{"name":"a"}`, `,{"name":"a"}`, `]}}`},
	{"deep and many", noWebhook + `"prompt":"a","params":{"x":[0`, `,[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]`, `]}}`},
	{"a long number", noWebhook + `"prompt":"a","params":{"temperature":1`, `1`, `}}`},
	{"small strings", noWebhook + `"prompt":"a","params":{"x":[""`, `,"a"`, `]}}`},
	{"metadata", noWebhook + `"prompt":"a","metadata":{"a":0`, `,"b":0`, `}}`},
	{"callback_headers", siegeJob + `"prompt":"a","callback_url":"http://127.0.0.1:1024/","callback_headers":{"a":"b"`, `,"c":"d"`, `}}`},
	{"an escaped name", noWebhook + `"prompt":"a","\u0070`, `\u0061`, `":0}`},
	{"spaces", noWebhook + `"prompt":`, " ", `"a"}`},
	{"no JSON", ``, "{", ``},
}

const (
	unitsAtOnce = 64 << 10
	mostOfABody = 32 << 20
)

// body returns a body of at most size bytes, and its size.
func (s shape) body(size int) (io.Reader, int64) {
	units := max(0, size-len(s.head)-len(s.tail)) / len(s.unit)
	return io.MultiReader(strings.NewReader(s.head), &repeated{unit: s.unit, left: units * len(s.unit)}, strings.NewReader(s.tail)),
		int64(len(s.head) + len(s.tail) + units*len(s.unit))
}

// repeated reads a unit again and again. Its texts are shared.
type repeated struct {
	unit string
	left int
	text string // as many units as are read at once; "" before the first read
}

var repetitions sync.Map // unit → its text

func (r *repeated) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if r.text == "" {
		text, _ := repetitions.LoadOrStore(r.unit, strings.Repeat(r.unit, 1+unitsAtOnce/len(r.unit)))
		r.text = text.(string)
	}
	// left is what is missing of whole units, which gives the position in the unit.
	at := (len(r.unit) - r.left%len(r.unit)) % len(r.unit)
	n := copy(p[:min(len(p), r.left)], r.text[at:])
	r.left -= n
	return n, nil
}

// manyNames is a body of 32 MiB with millions of different names, under a field.
var manyNames = sync.OnceValue(func() []byte {
	text := append(make([]byte, 0, mostOfABody), noWebhook+`"prompt":"a","params":{"x":0`...)
	for i := int64(0); len(text) < mostOfABody-32; i++ {
		text = append(strconv.AppendInt(append(text, `,"`...), i, 36), `":0`...)
	}
	return append(text, `}}`...)
})

// noise is a text that does not compress.
var noise = sync.OnceValue(func() []byte {
	text := make([]byte, 31<<20)
	_, _ = rand.Read(text)
	for i, b := range text {
		text[i] = 'A' + b%58
		if text[i] == '\\' {
			text[i] = ' '
		}
	}
	return text
})

// postSiege posts a body with the key and returns the result.
func postSiege(ctx context.Context, g *target, path string, body io.Reader, length int64) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1"+path, body)
	if err != nil {
		return err.Error()
	}
	req.ContentLength = length
	req.Header.Set("Content-Type", "application/json")
	return doSiege(g, req)
}

// waitSiege posts a body and waits for the answer to it.
func waitSiege(ctx context.Context, g *target, body string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1/api/generate", strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Prefer", "wait=10")
	return doSiege(g, req)
}

// siegeHTTP dials for each request: attackers' connections are not kept.
func siegeHTTP(g *target) *http.Client {
	once := g.http.Transport.(*http.Transport).Clone()
	once.DisableKeepAlives = true
	return &http.Client{Transport: once}
}

func doSiege(g *target, req *http.Request) string {
	req.Header.Set("Authorization", "Bearer "+siegeKey)
	resp, err := siegeHTTP(g).Do(req)
	if err != nil {
		return failed(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode == http.StatusAccepted {
		g.book.accepted(gjson.GetBytes(answer, "job_id").Str)
	}
	return answeredSo(resp, answer)
}

const noRetryAfter = "503 without Retry-After"

func answeredSo(resp *http.Response, answer []byte) string {
	switch {
	case resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") == "":
		return noRetryAfter
	case resp.StatusCode >= 400 && resp.StatusCode != http.StatusServiceUnavailable:
		return fmt.Sprintf("%d %.60s", resp.StatusCode, gjson.GetBytes(answer, "error").Str)
	}
	return strconv.Itoa(resp.StatusCode)
}

func failed(err error) string {
	switch text := err.Error(); {
	case strings.Contains(text, "deadline"):
		return "too late"
	case strings.Contains(text, "refused"):
		return "refused to connect"
	default:
		return "cut off"
	}
}

// callerAttacks returns the attacks by callers with the key.
func callerAttacks() []attack {
	all := []attack{
		{"caller: params of 3,000,000 names", 2, 12 * time.Second, func(ctx context.Context, g *target, _ *mathrand.Rand) string {
			return postSiege(ctx, g, "/api/generate", bytes.NewReader(manyNames()), int64(len(manyNames())))
		}},
		{"caller: 31 MiB that do not compress", 3, 12 * time.Second, func(ctx context.Context, g *target, _ *mathrand.Rand) string {
			head, tail := noWebhook+`"prompt":"`, `"}`
			return postSiege(ctx, g, "/api/generate", io.MultiReader(strings.NewReader(head), bytes.NewReader(noise()), strings.NewReader(tail)), int64(len(head)+len(noise())+len(tail)))
		}},
		{"caller: announces and stalls", 20, 12 * time.Second, func(ctx context.Context, g *target, r *mathrand.Rand) string {
			body, _ := bodies[4].body(1 << (10 + r.IntN(11)))
			stalled, cancel := context.WithTimeout(ctx, longestAct/5)
			defer cancel()
			return postSiege(ctx, g, "/api/generate", io.MultiReader(body, until(stalled.Done())), 31<<20)
		}},
		{"caller: a mixture", 6, 3 * time.Second, anyBody},
		{"caller: retries with a large patch", 1, 4 * time.Second, func(ctx context.Context, g *target, r *mathrand.Rand) string {
			body, length := shape{"", `{"params":{"x":[0`, `,{"a":0}`, `]}}`}.body(1 << (20 + r.IntN(6)))
			return postSiege(ctx, g, "/api/jobs/"+g.large+"/retry", body, length)
		}},
	}
	for _, s := range bodies {
		all = append(all, attack{"caller: " + s.name, 1, 20 * time.Second, func(ctx context.Context, g *target, r *mathrand.Rand) string {
			body, length := s.body(mostOfABody >> r.IntN(4))
			return postSiege(ctx, g, "/api/generate", body, length)
		}})
	}
	return all
}

// anyBody posts a body of any shape and size, complete or not, fast or slow.
func anyBody(ctx context.Context, g *target, r *mathrand.Rand) string {
	s := bodies[r.IntN(len(bodies))]
	body, length := s.body(1 << (10 + r.IntN(16)))
	switch r.IntN(6) {
	case 0: // half of it
		stalled, cancel := context.WithTimeout(ctx, longestAct/4)
		defer cancel()
		body = io.MultiReader(io.LimitReader(body, length/2), until(stalled.Done()))
	case 1:
		body = &inPieces{body, 16 << 10, 5 * time.Millisecond}
	case 2:
		length = -1 // in chunks
	}
	return postSiege(ctx, g, "/api/generate", body, length)
}

// until blocks reads until it is closed, and then fails.
type until <-chan struct{}

func (u until) Read([]byte) (int, error) {
	<-u
	return 0, io.ErrUnexpectedEOF
}

// inPieces reads one piece at a time.
type inPieces struct {
	io.Reader
	piece int
	pause time.Duration
}

func (s *inPieces) Read(p []byte) (int, error) {
	time.Sleep(s.pause)
	return s.Reader.Read(p[:min(len(p), s.piece)])
}

// strangerAttacks returns the attacks by callers without a key. What they send is written to
// the connection as it is.
func strangerAttacks() []attack {
	head := "GET /api/jobs HTTP/1.1\r\nHost: localhost\r\n"
	post := "POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	tiny := strings.Repeat("a:b\r\n", 7000)
	return []attack{
		{"stranger: 60 KiB of a header", 800, 2 * time.Second, raw(head+"X: "+strings.Repeat("x", 60<<10), "", 5*time.Second)},
		{"stranger: 15 KiB of a header", 400, 2 * time.Second, raw(head+"X: "+strings.Repeat("x", 15<<10), "", 8*time.Second)},
		{"stranger: 7,000 tiny headers", 400, 2 * time.Second, raw(head+tiny, "", 5*time.Second)},
		{"stranger: 2,500 tiny headers", 200, 2 * time.Second, raw(head+tiny[:2500*5], "", 8*time.Second)},
		{"stranger: headers that drip", 100, time.Second, raw(head, "a: b\r\n", 15*time.Second)},
		{"stranger: silence", 400, 5 * time.Second, raw("", "", 10*time.Second)},
		{"stranger: reads no answers", 30, 2 * time.Second, raw(strings.Repeat("GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n", 50), "", 10*time.Second)},
		{"stranger: a body without a key", 2, 2 * time.Second, raw(post+"Content-Length: 33554432\r\n\r\n", strings.Repeat(" ", 256<<10), 4*time.Second)},
		{"stranger: chunks without a key", 2, 2 * time.Second, raw(post+"Transfer-Encoding: chunked\r\n\r\n", "40000\r\n"+strings.Repeat(" ", 0x40000)+"\r\n", 4*time.Second)},
		{"stranger: a body to nowhere", 2, time.Second, raw("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 33554432\r\n\r\n", strings.Repeat(" ", 256<<10), 4*time.Second)},
		{"stranger: a wrong key and a long path", 10, time.Second, raw("GET /api/jobs/"+strings.Repeat("j", 14<<10)+" HTTP/1.1\r\nHost: localhost\r\nx-api-key: wrong\r\n\r\n", "", time.Second)},
	}
}

// raw sends a text, then a piece every 100 ms, and reads at most the beginning of an answer
// before it leaves.
func raw(text, piece string, stay time.Duration) func(context.Context, *target, *mathrand.Rand) string {
	return func(ctx context.Context, g *target, _ *mathrand.Rand) string {
		ctx, cancel := context.WithTimeout(ctx, stay)
		defer cancel()
		c, err := new(net.Dialer).DialContext(ctx, "tcp", g.address())
		if err != nil {
			return failed(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(stay))
		if _, err := io.WriteString(c, text); err == nil && piece != "" {
			for sleep(ctx, 100*time.Millisecond) && err == nil {
				_, err = io.WriteString(c, piece)
			}
		} else if err == nil {
			sleep(ctx, stay)
		}
		line := make([]byte, 12)
		_ = c.SetDeadline(time.Now().Add(10 * time.Millisecond))
		if n, _ := io.ReadFull(c, line); n == len(line) {
			return string(bytes.TrimPrefix(line, []byte("HTTP/1.1 ")))
		}
		return "no answer"
	}
}
