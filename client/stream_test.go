package client_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
)

// story is a job whose first attempt broke off, and whose answer has two blocks.
var story = []ringback.StreamEvent{
	happened(ringback.EventQueued, 0, 1),
	happened(ringback.EventStarted, 1, 2),
	piece(1, 3, ringback.DeltaText, 0, "Torn "),
	happened(ringback.EventRetrying, 3, 4),
	happened(ringback.EventStarted, 3, 5),
	piece(3, 6, ringback.DeltaThinking, 0, "Well, <é>\n"),
	piece(3, 7, ringback.DeltaText, 1, "Hello, "),
	piece(3, 8, ringback.DeltaText, 1, "wörld"),
	piece(3, 9, ringback.DeltaToolInput, 2, `{"a":`),
	piece(3, 10, ringback.DeltaToolInput, 2, `1}`),
	piece(3, 11, ringback.DeltaText, 3, "!\n"),
	ended(3, 12, "Hello, wörld!\n"),
}

func happened(what ringback.EventType, attempt, number int64) ringback.StreamEvent {
	at := ringback.Time{Time: time.Date(2026, 11, 23, 9, 0, int(number), 0, time.UTC)}
	return ringback.StreamEvent{Type: what, JobID: "j1", EventID: ringback.EventID{Attempt: attempt, Number: number}, Timestamp: at}
}

func piece(attempt, number int64, kind ringback.DeltaKind, index int, text string) ringback.StreamEvent {
	return ringback.StreamEvent{
		Type: ringback.EventDelta, JobID: "j1", EventID: ringback.EventID{Attempt: attempt, Number: number},
		Delta: &ringback.Delta{Kind: kind, Index: index, Text: text},
	}
}

func ended(attempt, number int64, result string) ringback.StreamEvent {
	e := happened(ringback.EventCompleted, attempt, number)
	e.Job = &ringback.Job{ID: "j1", Status: ringback.Completed, Result: &result, Metadata: []byte("null")}
	return e
}

const streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"

// framed returns the events as a server sends them.
func framed(events ...ringback.StreamEvent) string {
	var b strings.Builder
	b.WriteString("retry: 1000\n\n")
	for _, e := range events {
		text, err := json.Marshal(e)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&b, "id: %s\nevent: %s\ndata: %s\n\n", e.EventID, e.Type, text)
	}
	return b.String()
}

// behind returns the events that a reader has not seen.
func behind(r *http.Request) []ringback.StreamEvent {
	after, err := ringback.ParseEventID(r.Header.Get("Last-Event-ID"))
	if err != nil {
		panic(err)
	}
	for i, e := range story {
		if e.Compare(after) > 0 {
			return story[i:]
		}
	}
	return nil
}

// serve answers on one connection, which is closed when it returns. What it writes arrives
// at once.
type serve func(conn net.Conn, r *http.Request)

// bubble makes a client whose server is the test's own, with one call of serve for each
// connection; both run on the bubble's clock.
func bubble(t *testing.T, s serve, test func(t *testing.T, c *client.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		transport := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				if r, err := http.ReadRequest(bufio.NewReader(theirs)); err == nil {
					s(theirs, r)
				}
			}()
			return ours, nil
		}}
		c, err := client.New(client.Config{URL: "http://ringback.test", APIKey: apiKey, HTTPClient: &http.Client{Transport: transport}})
		must(t, err)
		test(t, c)
	})
}

// inTurn serves the first connection with the first of turns, and so on; the last repeats.
func inTurn(turns ...serve) serve {
	var calls atomic.Int64
	return func(conn net.Conn, r *http.Request) {
		turns[min(int(calls.Add(1)), len(turns))-1](conn, r)
	}
}

// says writes a text, until the reader has left.
func says(text string) serve {
	return func(conn net.Conn, _ *http.Request) { _, _ = io.WriteString(conn, text) }
}

// resumes does what the server does: it continues after what the reader has seen.
func resumes(conn net.Conn, r *http.Request) {
	if events := behind(r); events != nil {
		says(streamHead+framed(events...))(conn, r)
		return
	}
	says("HTTP/1.1 204 No Content\r\n\r\n")(conn, r)
}

func collect(stream iter.Seq2[ringback.StreamEvent, error]) (events []ringback.StreamEvent, err error) {
	for e, err := range stream {
		if err != nil {
			return events, err
		}
		events = append(events, e)
	}
	return events, nil
}

func holds(t *testing.T, stream iter.Seq2[ringback.StreamEvent, error], want ...ringback.StreamEvent) {
	t.Helper()
	got, err := collect(stream)
	if err != nil {
		t.Fatalf("after %d events: %v", len(got), err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal("(-want +got)\n" + d)
	}
}

func TestAStreamThatIsCutAnywhereIsWhole(t *testing.T) {
	t.Parallel()
	whole := streamHead + framed(story...)
	for cut := range len(whole) {
		bubble(t, inTurn(says(whole[:cut]), resumes), func(t *testing.T, c *client.Client) {
			holds(t, c.Stream(t.Context(), "j1"), story...)
		})
	}
}

func TestAStreamThatIsCutAgainAndAgainIsWhole(t *testing.T) {
	t.Parallel()
	for range 200 {
		bubble(t, func(conn net.Conn, r *http.Request) {
			whole := streamHead + framed(behind(r)...)
			says(whole[:min(rand.N(2*len(whole)), len(whole))])(conn, r)
		}, func(t *testing.T, c *client.Client) {
			holds(t, c.Stream(t.Context(), "j1"), story...)
		})
	}
}

func TestWhatComesAgainIsNotYieldedAgain(t *testing.T) {
	t.Parallel()
	whole := streamHead + framed(story...)
	bubble(t, inTurn(says(whole[:len(whole)/2]), says(whole)), func(t *testing.T, c *client.Client) { // a server without memory
		holds(t, c.Stream(t.Context(), "j1"), story...)
	})
	shuffled := []ringback.StreamEvent{story[0], story[2], story[1], story[2], story[11]}
	bubble(t, says(streamHead+framed(shuffled...)), func(t *testing.T, c *client.Client) {
		holds(t, c.Stream(t.Context(), "j1"), story[0], story[2], story[11])
	})
}

func TestAStreamBeginsBehindAnEvent(t *testing.T) {
	t.Parallel()
	bubble(t, resumes, func(t *testing.T, c *client.Client) {
		holds(t, c.Stream(t.Context(), "j1", client.After(story[6].EventID)), story[7:]...)
		holds(t, c.Stream(t.Context(), "j1", client.After(story[11].EventID))) // 204
	})
}

// A node died with events that had not been stored, and the job ended otherwise.
func TestTheEndIsYieldedWhateverItsNumber(t *testing.T) {
	t.Parallel()
	end := ended(1, 2, "")
	bubble(t, inTurn(says(streamHead+framed(story[:3]...)), says(streamHead+framed(end))), func(t *testing.T, c *client.Client) {
		holds(t, c.Stream(t.Context(), "j1"), story[0], story[1], story[2], end)
	})
}

func TestAStreamAsksAsAReaderOfEventsDoes(t *testing.T) {
	t.Parallel()
	asked := make(chan *http.Request, 2)
	note := func(next serve) serve {
		return func(conn net.Conn, r *http.Request) { asked <- r; next(conn, r) }
	}
	bubble(t, inTurn(note(says(streamHead+framed(story[:3]...))), note(resumes)), func(t *testing.T, c *client.Client) {
		holds(t, c.Stream(t.Context(), "j1"), story...)
	})
	first, second := <-asked, <-asked
	if first.RequestURI != "/api/jobs/j1/stream" || first.Header.Get("Accept") != "text/event-stream" || first.Header.Get("Authorization") != "Bearer "+apiKey {
		t.Errorf("asked for %s with %v", first.RequestURI, first.Header)
	}
	if got := first.Header.Get("Last-Event-ID") + second.Header.Get("Last-Event-ID"); got != "1-3" {
		t.Errorf("ids: got %s, want none and 1-3", got)
	}
}

func TestASilentConnectionIsGivenUpAndAQuietOneIsNot(t *testing.T) {
	t.Parallel()
	hangs := func(conn net.Conn, r *http.Request) {
		says(streamHead+framed(story[:3]...))(conn, r)
		_, _ = io.Copy(io.Discard, conn) // until the reader has had enough
	}
	bubble(t, inTurn(hangs, func(conn net.Conn, _ *http.Request) { _, _ = io.Copy(io.Discard, conn) }, resumes), func(t *testing.T, c *client.Client) {
		var told []string
		start := time.Now()
		holds(t, c.Stream(t.Context(), "j1", client.Interrupted(func(err error) { told = append(told, err.Error()) })), story...)
		if took, want := time.Since(start), 2*45*time.Second; took < want || took > want+8*time.Second {
			t.Errorf("it took %v, want about %v", took, want)
		}
		if d := cmp.Diff([]string{"nothing has come for 45s", "nothing has come for 45s"}, told); d != "" {
			t.Error(d)
		}
	})
	beats := func(conn net.Conn, r *http.Request) {
		says(streamHead+framed(story[:3]...))(conn, r)
		for range 240 { // an hour
			time.Sleep(15 * time.Second)
			says(":\n\n")(conn, r)
		}
		says(framed(story[3:]...))(conn, r)
	}
	bubble(t, inTurn(beats, func(net.Conn, *http.Request) { t.Error("it connected again") }), func(t *testing.T, c *client.Client) {
		holds(t, c.Stream(t.Context(), "j1"), story...)
	})
}

func TestWhoeverTakesTheEventsMayTakeTime(t *testing.T) {
	t.Parallel()
	bubble(t, inTurn(resumes, func(net.Conn, *http.Request) { t.Error("it connected again") }), func(t *testing.T, c *client.Client) {
		n := 0
		for _, err := range c.Stream(t.Context(), "j1") {
			must(t, err)
			time.Sleep(10 * time.Minute)
			n++
		}
		if n != len(story) {
			t.Errorf("got %d events, want %d", n, len(story))
		}
	})
}

func refuses(status int, header, body string) serve {
	return says(fmt.Sprintf("HTTP/1.1 %d X\r\nConnection: close\r\n%s\r\n%s", status, header, body))
}

func TestAStreamIsPatientWithWhatPasses(t *testing.T) {
	t.Parallel()
	bubble(t, inTurn(
		says(streamHead+framed(story[:2]...)),                             // 1 to 2 s later, as it asks:
		refuses(503, "Retry-After: 7\r\n", `{"code":"unavailable"}`),      // 7 s
		refuses(429, "Retry-After: 86400\r\n", `{"code":"rate_limited"}`), // 60 s at most
		refuses(500, "", ""), // 5 to 10 s, as all that follow
		refuses(502, "", "<h1>nginx</h1>"),
		refuses(408, "", ""),
		says("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<h1>Log in</h1>"),
		says("no HTTP at all"),
		says(streamHead+"data: hello\n\n"),
		says(streamHead+"data: {\"type\":\"job.delta\",\"attempt\":1,\"number\":3}\n\n"),
		says(streamHead+"data: {\"type\":\"job.completed\",\"attempt\":1,\"number\":3}\n\n"),
		says(streamHead+"\x00\xff garbage without end"),
		resumes,
	), func(t *testing.T, c *client.Client) {
		start := time.Now()
		holds(t, c.Stream(t.Context(), "j1"), story...)
		if took, least := time.Since(start), 108*time.Second; took < least || took > 160*time.Second {
			t.Errorf("it took %v, want about %v", took, least)
		}
	})
}

func TestAStreamGivesUpWhatDoesNotGetBetter(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		serve serve
		code  ringback.Code
	}{
		"a wrong key":      {refuses(401, "", `{"code":"unauthorized","error":"no"}`), ringback.Unauthorized},
		"no such job":      {refuses(404, "", `{"code":"not_found","error":"no"}`), ringback.NotFound},
		"content deleted":  {refuses(410, "", `{"code":"gone","error":"no"}`), ringback.Gone},
		"a wrong question": {refuses(400, "", `{"code":"invalid_request","error":"no"}`), ringback.InvalidRequest},
	} {
		for _, before := range [][]serve{nil, {says(streamHead + framed(story[:3]...)), refuses(503, "", "")}} {
			bubble(t, inTurn(append(before, test.serve)...), func(t *testing.T, c *client.Client) {
				_, err := collect(c.Stream(t.Context(), "j1"))
				if e, ok := errors.AsType[*ringback.Error](err); !ok || e.Code != test.code {
					t.Errorf("%s: got %v, want %s", name, err, test.code)
				}
			})
		}
	}
	bubble(t, says("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<h1>Welcome</h1>"), func(t *testing.T, c *client.Client) {
		_, err := collect(c.Stream(t.Context(), "j1"))
		if want := `http://ringback.test/api/jobs/j1/stream answered "text/html", which is not a stream of events`; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

func TestAStreamGivesUpAServerThatIsAwayForLong(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]serve{
		"refusing": refuses(503, "", `{"code":"unavailable","error":"the server is stopping"}`),
		"closing":  says(""), "garbage": says(streamHead + "data: hello\n\n"),
		"silent": func(conn net.Conn, _ *http.Request) { _, _ = io.Copy(io.Discard, conn) },
	} {
		bubble(t, inTurn(says(streamHead+framed(story[:3]...)), away), func(t *testing.T, c *client.Client) {
			for limit, options := range map[time.Duration][]client.StreamOption{
				5 * time.Minute: nil, 20 * time.Second: {client.GiveUpAfter(20 * time.Second)},
			} {
				start := time.Now()
				_, err := collect(c.Stream(t.Context(), "j1", options...))
				if err == nil || !strings.HasPrefix(err.Error(), "stream of job j1: given up after ") {
					t.Errorf("%s: got %v", name, err)
				}
				if took := time.Since(start); took < limit-10*time.Second || took > limit+5*time.Second {
					t.Errorf("%s: it took %v, want about %v", name, took, limit)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			_, err := collect(c.Stream(ctx, "j1", client.GiveUpAfter(0)))
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s, without a bound: got %v", name, err)
			}
		})
	}
}

func TestAStreamEndsWithItsContext(t *testing.T) {
	t.Parallel()
	quiet := func(conn net.Conn, r *http.Request) {
		says(streamHead+framed(story[:3]...))(conn, r)
		_, _ = io.Copy(io.Discard, conn)
	}
	bubble(t, quiet, func(t *testing.T, c *client.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		events, err := collect(c.Stream(ctx, "j1"))
		if len(events) != 3 || !errors.Is(err, context.DeadlineExceeded) || err.Error() != "stream of job j1: context deadline exceeded" {
			t.Errorf("while it is quiet: got %d events, %v", len(events), err)
		}
	})
	bubble(t, refuses(503, "Retry-After: 50\r\n", `{"code":"unavailable","error":"full"}`), func(t *testing.T, c *client.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := collect(c.Stream(ctx, "j1"))
		if want := "stream of job j1: context deadline exceeded; the last try: full"; err == nil || err.Error() != want {
			t.Errorf("between two tries: got %v, want %s", err, want)
		}
	})
}

func TestWhoLeavesTheLoopClosesTheConnection(t *testing.T) {
	t.Parallel()
	left := make(chan struct{})
	bubble(t, func(conn net.Conn, r *http.Request) {
		says(streamHead+framed(story[:3]...))(conn, r)
		_, _ = io.Copy(io.Discard, conn)
		close(left)
	}, func(t *testing.T, c *client.Client) {
		stream := c.Stream(t.Context(), "j1")
		for _, err := range stream {
			must(t, err)
			break
		}
		<-left
	})
}

func TestATranscriptIsTheTextOfTheLastAttempt(t *testing.T) {
	t.Parallel()
	var got client.Transcript
	for i, e := range story {
		if void, want := got.Add(e), e.Type == ringback.EventRetrying; void != want {
			t.Errorf("event %d: void is %v, want %v", i, void, want)
		}
		if i == 2 && (got.Text() != "Torn " || got.Attempt() != 1 || got.Job() != nil) {
			t.Errorf("after %d events: %q of attempt %d", i, got.Text(), got.Attempt())
		}
	}
	if got.Text() != *got.Job().Result || got.Thinking() != "Well, <é>\n" || got.ToolInput(2) != `{"a":1}` || got.ToolInput(0) != "" || got.Attempt() != 3 {
		t.Errorf("got %q, %q, %q of attempt %d", got.Text(), got.Thinking(), got.ToolInput(2), got.Attempt())
	}
}

func TestATranscriptGoesByIndexAndByAttempt(t *testing.T) {
	t.Parallel()
	var got client.Transcript
	got.Add(piece(2, 3, ringback.DeltaText, 1, "second"))
	got.Add(piece(2, 4, ringback.DeltaText, 0, "first "))
	got.Add(piece(1, 5, ringback.DeltaText, 0, "of another"))
	if got.Text() != "first second" {
		t.Errorf("got %q", got.Text())
	}
	if !got.Add(piece(3, 5, ringback.DeltaText, 0, "anew")) || got.Text() != "anew" { // job.retrying was not seen
		t.Errorf("got %q", got.Text())
	}
	got.Add(ended(4, 6, ""))
	if got.Text() != "anew" {
		t.Errorf("after the end: got %q", got.Text())
	}
}
