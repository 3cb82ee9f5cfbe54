package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/simulate"
)

// The enemies that the server calls: providers and receivers. Each answers as no HTTP
// server would, and has a job that shows the result of the call.

// retort is an enemy's answer to a request that has been read; the connection is closed
// when it returns.
type retort func(c net.Conn)

// say sends a text.
func say(text string) retort {
	return func(c net.Conn) { _, _ = io.WriteString(c, text) }
}

// forever sends a text, and then a piece at intervals until the server leaves.
func forever(text, piece string, pause time.Duration) retort {
	return func(c net.Conn) {
		if _, err := io.WriteString(c, text); err == nil {
			drip(c, piece, pause)
		}
	}
}

// mute sends a text, and then nothing until the server leaves.
func mute(text string) retort {
	return func(c net.Conn) {
		_, _ = io.WriteString(c, text)
		_, _ = io.Copy(io.Discard, c)
	}
}

// enemyServer reads one request from each connection and answers as choose says, until it
// is shut.
func enemyServer(t *testing.T, choose func(body []byte) retort) (url string, shut func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, end := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer context.AfterFunc(ctx, func() { c.Close() })()
				defer c.Close()
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				if body, err := io.ReadAll(r.Body); err == nil {
					choose(body)(c)
				}
			})
		}
	})
	shut = sync.OnceFunc(func() {
		l.Close()
		end()
		all.Wait()
	})
	t.Cleanup(shut)
	return "http://" + l.Addr().String(), shut
}

const metadataURL = "http://169.254.169.254/latest/meta-data/iam/"

// The beginning of a stream, and a piece of its text.
const (
	streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
	firstEvent = `data: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"enemy","content":[],"usage":{"input_tokens":1,"output_tokens":1}}}` + "\n\n" +
		`data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}` + "\n\n"
	lastEvent = `data: {"type":"message_stop"}` + "\n\n"
)

func textEvent(text string) string {
	return `data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"` + text + `"}}` + "\n\n"
}

// inputEvent returns a piece of something other than text, which is not kept when the
// answer fails.
func inputEvent(text string) string {
	return `data: {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"` + text + `"}}` + "\n\n"
}

// liar is a provider that must only cost its own job.
type liar struct {
	name    string
	answer  retort
	timeout int // seconds that the job gives the attempt; 0: 60
	code    ringback.ErrorDetailCode
	says    string // part of the job's error
	long    bool   // it takes minutes, or much of the processor
}

var liars = []liar{
	{"a redirect to a cloud's metadata", say("HTTP/1.1 302 Found\r\nLocation: " + metadataURL + "\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), 0, ringback.CodeProviderError, "a redirect, which is not followed", false},
	{"a redirect that keeps the method", say("HTTP/1.1 307 Temporary Redirect\r\nLocation: " + metadataURL + "\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), 0, ringback.CodeProviderError, "a redirect, which is not followed", false},
	{"a stream that falls silent for good", mute(streamHead + firstEvent + textEvent("x")), 600, ringback.CodeIdle, "fell silent for 2m0s", true},
	{"a gigabyte in a stream", forever(streamHead+firstEvent, inputEvent(strings.Repeat("x", 256<<10)), time.Second/32), 0, ringback.CodeTooLarge, "over the limit of 67108864 bytes", true},
	{"a gigabyte in one event", forever(streamHead+"data: ", strings.Repeat("x", 256<<10), time.Second/32), 0, ringback.CodeTooLarge, "over the limit of 67108864 bytes", false},
	{"a gigabyte of JSON", forever("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n{\"content\":[\"", strings.Repeat("x", 256<<10), time.Second/32), 0, ringback.CodeTooLarge, "over the limit of 67108864 bytes", false},
	{"a gigabyte of an error", forever("HTTP/1.1 400 No\r\nContent-Length: 1073741824\r\n\r\n", strings.Repeat("x", 64<<10), 10*time.Millisecond), 0, ringback.CodeProviderRejected, "answered 400: xxx", false},
	{"a stream without end", forever(streamHead+firstEvent, textEvent("x"), 50*time.Millisecond), 5, ringback.CodeTimeout, "within the time limit", false},
	{"pings without end", forever(streamHead, "data: {\"type\":\"ping\"}\n\n", 50*time.Millisecond), 5, ringback.CodeTimeout, "within the time limit", false},
	{"a stream that falls silent", mute(streamHead + firstEvent + textEvent("x")), 5, ringback.CodeTimeout, "within the time limit", false},
	{"silence", mute(""), 5, ringback.CodeTimeout, "within the time limit", false},
	{"a status line that drips", forever("HTTP/1.1 200 ", "O", 100*time.Millisecond), 5, ringback.CodeTimeout, "within the time limit", false},
	{"an event that drips", forever(streamHead+"data: ", "x", 100*time.Millisecond), 5, ringback.CodeTimeout, "within the time limit", false},
	{"1xx that drip", forever("", "HTTP/1.1 102 Processing\r\n\r\n", 100*time.Millisecond), 5, ringback.CodeTimeout, "within the time limit", false},
	{"1xx for ever", forever("", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 100), 10*time.Millisecond), 0, ringback.CodeProviderError, "broke before it answered", false},
	{"101", say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + firstEvent), 0, ringback.CodeProviderError, "answered 101", false},
	{"a header without end", forever("HTTP/1.1 200 OK\r\n", "X-Endless: "+strings.Repeat("x", 8<<10)+"\r\n", 10*time.Millisecond), 0, ringback.CodeProviderError, "broke before it answered", false},
	{"two lengths", say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} "), 0, ringback.CodeProviderError, "broke before it answered", false},
	{"no HTTP", say("SSH-2.0-OpenSSH_9.9\r\n"), 0, ringback.CodeProviderError, "broke before it answered", false},
	{"a close", say(""), 0, ringback.CodeProviderError, "broke before it answered", false},
	{"half a stream", say(streamHead + firstEvent + textEvent("x")), 0, ringback.CodeStreamBroken, "broke off", false},
	{"a page", say("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><body>It works!</body></html>\n\n"), 0, ringback.CodeStreamBroken, "broke off", false},
	{"a gzip bomb", say("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n\r\n" + bomb(65)), 0, ringback.CodeTooLarge, "over the limit of 67108864 bytes", false},
	{"bytes that are no JSON", say(streamHead + firstEvent + "data: {\"type\":\"content_block_delta\"\n\nevent: content_block_delta\ndata: \xff\xfe\n\n"), 0, ringback.CodeStreamBroken, "does not follow its protocol", false},
	{"an event 100,000 deep", say(streamHead + "event: message_start\ndata: " + strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000) + "\n\n"), 0, ringback.CodeStreamBroken, "does not follow its protocol", false},
	{"a message 9,000 deep", say(streamHead + firstEvent + `data: {"type":"content_block_delta","index":0,"delta":{"type":"x","x":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + "}}\n\n" + lastEvent), 0, ringback.CodeStreamBroken, "nested more than 5000 deep", false},
	{"a length that is negative", say("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), 0, ringback.CodeProviderError, "broke before it answered", false},
}

// hostileProvider answers each call with the liar whose number the model has: enemy/7. All
// others, enemy/mute-…, get no answer.
func hostileProvider(t *testing.T) (url string, shut func()) {
	t.Helper()
	return enemyServer(t, func(body []byte) retort {
		n, err := strconv.Atoi(strings.TrimPrefix(gjson.GetBytes(body, "model").Str, "enemy/"))
		if err != nil {
			return mute("")
		}
		return liars[n].answer
	})
}

// ask submits a job to the n-th liar, and returns what is wrong with the result.
func (l liar) ask(ctx context.Context, w *world, n int) error {
	one, timeout := 1, l.timeout
	if timeout == 0 {
		timeout = 60
	}
	accepted, err := w.api.Submit(ctx, ringback.Request{
		Prompt: l.name, Model: fmt.Sprintf("enemy/%d", n), CallbackURL: w.callback, MaxAttempts: &one, TimeoutSeconds: &timeout,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	job, err := w.api.Wait(ctx, accepted.JobID)
	if err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	if job.Status != ringback.Failed || job.ErrorDetail == nil || job.ErrorDetail.Code != l.code || !strings.Contains(job.Error, l.says) {
		return fmt.Errorf("%s: the job is %s, %+v: %q, want failed, %s: …%s…", l.name, job.Status, job.ErrorDetail, job.Error, l.code, l.says)
	}
	_, err = w.receiver.WaitFor(ctx, func(d simulate.Delivery) bool { return d.JobID == job.ID && d.Type == "job.failed" })
	return err
}

// boor is a receiver that must only cost its own webhooks.
type boor struct {
	name   string
	answer retort
	status ringback.DeliveryStatus
	class  ringback.TryError // of the first try's error
	code   int               // of its answer
}

const gone = "HTTP/1.1 410 Gone\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

var boors = []boor{
	{"101", say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello"), ringback.DeliveryPending, "status", 101},
	{"1xx for ever", forever("", strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 100), 10*time.Millisecond), ringback.DeliveryPending, "status", 0},
	{"1xx that drip", forever("", "HTTP/1.1 102 Processing\r\n\r\n", 100*time.Millisecond), ringback.DeliveryPending, "timeout", 0},
	{"two lengths", say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"), ringback.DeliveryPending, "status", 0},
	{"a redirect to a cloud's metadata", say("HTTP/1.1 302 Found\r\nLocation: " + metadataURL + "\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), ringback.DeliveryPending, "redirect", 302},
	{"a redirect that keeps the method", say("HTTP/1.1 308 Permanent Redirect\r\nLocation: " + metadataURL + "\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), ringback.DeliveryPending, "redirect", 308},
	{"a status line that drips", forever("HTTP/1.1 200 ", "O", 100*time.Millisecond), ringback.DeliveryPending, "timeout", 0},
	{"a header that drips", forever("HTTP/1.1 200 OK\r\nX: ", "x", 100*time.Millisecond), ringback.DeliveryPending, "timeout", 0},
	{"a header without end", forever("HTTP/1.1 200 OK\r\n", "X: "+strings.Repeat("x", 8<<10)+"\r\n", 10*time.Millisecond), ringback.DeliveryPending, "status", 0},
	{"a body that drips", forever("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "x", 100*time.Millisecond), ringback.DeliveryDelivered, "", 200},
	{"a refusal that drips", forever("HTTP/1.1 500 No\r\nContent-Length: 99999999\r\n\r\n", "x", 100*time.Millisecond), ringback.DeliveryPending, "status", 500},
	{"a body without end", forever("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("x", 64<<10), 10*time.Millisecond), ringback.DeliveryDelivered, "", 200},
	{"a gzip bomb", say("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + bomb(64)), ringback.DeliveryDelivered, "", 200},
	{"a close", say(""), ringback.DeliveryPending, "reset", 0},
	{"silence", mute(""), ringback.DeliveryPending, "timeout", 0},
	{"no HTTP", say("SSH-2.0-OpenSSH_9.9\r\n"), ringback.DeliveryPending, "status", 0},
	{"a pause of three years", say("HTTP/1.1 503 No\r\nRetry-After: 99999999\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), ringback.DeliveryPending, "status", 503},
	{"no more of this", say(gone), ringback.DeliveryDead, "status", 410},
	{"too large", say("HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), ringback.DeliveryDead, "status", 413},
}

// take has a webhook sent to the boor at url, and returns what is wrong with the result.
func (b boor) take(ctx context.Context, w *world, url string) error {
	accepted, err := w.api.Submit(ctx, ringback.Request{Prompt: b.name, Model: "sim/echo", CallbackURL: url + "/hook"})
	if err != nil {
		return fmt.Errorf("%s: %w", b.name, err)
	}
	d, err := firstTry(ctx, w, accepted.JobID)
	for err == nil && b.status == ringback.DeliveryDead && d.Status == ringback.DeliveryPending { // smaller forms come first
		d, err = firstTry(ctx, w, accepted.JobID)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", b.name, err)
	}
	try := d.Tries[0]
	wrong := try.Error != b.class || try.StatusCode != b.code
	if len(d.Tries) == 1 { // otherwise a pending one may have been tried again by now
		wrong = wrong || d.Status != b.status
	}
	if next := time.Until(d.NextTryAt.Time); wrong || next > 2*time.Hour {
		return fmt.Errorf("%s: the delivery is %s, its next try in %s, its first one %+v; want %s, %q, %d", b.name, d.Status, next, try, b.status, b.class, b.code)
	}
	return nil
}

// firstTry waits until a try of a job's webhook is over.
func firstTry(ctx context.Context, w *world, id string) (ringback.Delivery, error) {
	for sleep(ctx, 200*time.Millisecond) {
		all, err := w.api.Deliveries(ctx, id)
		if err != nil && !busy(err) {
			return ringback.Delivery{}, err
		}
		if len(all) == 1 && len(all[0].Tries) > 0 {
			return all[0], nil
		}
	}
	return ringback.Delivery{}, fmt.Errorf("no try of its webhook is over: %w", ctx.Err())
}

// busy reports whether the server said that it is busy.
func busy(err error) bool {
	e, ok := errors.AsType[*ringback.Error](err)
	return ok && e.Code == ringback.Unavailable
}

// occupy makes as many calls and webhooks hang as the server has room for strangers', and
// more, on 20 hosts. It takes its time: a busy server is another matter.
func occupy(ctx context.Context, w *world, hosts []string) error {
	one, minute := 1, 60
	for n := 0; sleep(ctx, 50*time.Millisecond); n++ {
		r := ringback.Request{Prompt: "hang", Model: "sim/echo", CallbackURL: hosts[n%len(hosts)] + "/hook"}
		if n%2 == 0 {
			r.Model, r.MaxAttempts, r.TimeoutSeconds = fmt.Sprintf("enemy/mute-%d", n), &one, &minute
		}
		if _, err := w.api.Submit(ctx, r); err != nil && !over(ctx, err) {
			return fmt.Errorf("calls and webhooks that hang: %w", err)
		}
	}
	return nil
}
