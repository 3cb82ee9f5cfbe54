package provider

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringback/ringback"
)

// heldOpen returns a stream, and then nothing more until the call ends, or a keep-alive at
// intervals.
func heldOpen(ctx context.Context, stream, keepAlive string) io.Reader {
	return io.MultiReader(strings.NewReader(stream), readerFunc(func(p []byte) (int, error) {
		select {
		case <-time.After(500 * time.Millisecond):
			return copy(p, keepAlive), nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}))
}

// receiveUntil is receive for a call whose context ends the stream.
func receiveUntil(ctx context.Context, t *testing.T, client *Client, stream, keepAlive string) (*Answer, *Error) {
	t.Helper()
	call := client.newCall(ctx, Request{})
	defer call.cancel(nil)
	return call.receive(&http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(heldOpen(call.inner, stream, keepAlive))})
}

// finished returns a small answer up to its finish, without the end of the stream.
func (d dialect) finished() string {
	whole := d.begin + d.some + d.finish
	return whole[:strings.LastIndex(strings.TrimSpace(whole), "\n\n")+2]
}

func TestAWholeAnswerIsWaitedForTwoSecondsMore(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, d dialect) {
		for _, keepAlive := range []string{"", "\n", ": ping\n\n", "data:\n\n", "data: 1\n\n", "event: ping\ndata: {\"type\": \"ping\"}\n\n"} {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				answer, failure := receiveUntil(t.Context(), t, d.offline(t), d.finished(), keepAlive)
				if failure != nil || answer.Text != "Some text" {
					t.Fatalf("with %q: got %v and %v, want the answer", keepAlive, answer, failure)
				}
				if took := time.Since(began); took < 2*time.Second || took > 2600*time.Millisecond {
					t.Errorf("with %q: it took %s, want 2 s", keepAlive, took)
				}
			})
		}
	})
}

func TestATimeoutOrACancelAfterTheFinishKeepsTheAnswer(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, d dialect) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			answer, failure := receiveUntil(ctx, t, d.offline(t), d.finished(), "\n")
			if failure != nil || answer.Text != "Some text" {
				t.Errorf("timeout: got %v and %v, want the answer", answer, failure)
			}
			_, failure = receiveUntil(ctx, t, d.offline(t), d.begin+d.some, "\n")
			if failure == nil || failure.Code != ringback.CodeTimeout {
				t.Errorf("timeout before the finish: got %v, want %s", failure, ringback.CodeTimeout)
			}
			cancelled, stop := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { stop(errors.New("draining")) })
			answer, failure = receiveUntil(cancelled, t, d.offline(t), d.finished(), "\n")
			if failure != nil || answer.Text != "Some text" {
				t.Errorf("cancel: got %v and %v, want the answer", answer, failure)
			}
		})
	})
}

// A piece of a compressed stream is emitted when it has arrived, not when a buffer is full.
func TestACompressedStreamFlows(t *testing.T) {
	told := make(chan string, 1)
	client := provide(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		io.WriteString(z, begin+block+some)
		z.Flush()
		http.NewResponseController(w).Flush()
		select {
		case <-told:
			io.WriteString(z, finish)
		case <-time.After(10 * time.Second):
		}
		z.Close()
	})
	answer, err := client.Generate(t.Context(), Request{Body: []byte(testBody), Delta: func(d ringback.Delta) { told <- d.Text }})
	if err != nil || answer.Text != "Some text" {
		t.Errorf("got %v, %v; want the answer", answer, err)
	}
}

// The decompressed size of a few bytes is bounded like any answer, and is not held.
func TestACompressedBombIsTooLargeAndTakesNoMemory(t *testing.T) {
	var bomb strings.Builder
	z := gzip.NewWriter(&bomb)
	for range 64 {
		z.Write(make([]byte, 1<<20))
	}
	z.Close()
	client := provideTo(t, Config{MaxAnswer: 32 << 20}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		io.WriteString(w, bomb.String())
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := failure(t.Context(), t, client, Request{})
	runtime.ReadMemStats(&after)
	if got.Code != ringback.CodeTooLarge {
		t.Errorf("got %s (%v), want %s", got.Code, got, ringback.CodeTooLarge)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Errorf("it took %d bytes of memory", grown)
	}
}
