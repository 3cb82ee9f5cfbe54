//go:build siege && unix

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

const (
	// readsLimit is the memory of a server whose large answers have many readers.
	readsLimit = 512 << 20
	// longAnswer is how long their answers are, in bytes.
	longAnswer = 30 << 20
)

// longProvider streams answers that do not compress well, in pieces as large as the prompt
// says.
type longProvider struct{}

func (longProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "text/event-stream")
	event := func(kind, data string) { _, _ = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", kind, data) }
	event("message_start", `{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"sim/long","content":[],"stop_reason":null,"usage":{"input_tokens":1,"output_tokens":1}}}`)
	event("content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`)
	text := rand.NewChaCha8([32]byte{1})
	piece := make([]byte, 3<<10)
	for sent := 0; sent < longAnswer; sent += 2 * len(piece) {
		_, _ = text.Read(piece)
		event("content_block_delta", fmt.Sprintf(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%x"}}`, piece))
	}
	event("content_block_stop", `{"type":"content_block_stop","index":0}`)
	event("message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}`)
	event("message_stop", `{"type":"message_stop"}`)
}

// rss returns what a process has in RAM, and the most that it ever had, in MiB.
func (s *server) rss() (now, peak int) {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatalf("the server is gone, or this is no Linux: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		switch fields[0] {
		case "VmRSS:":
			now, _ = strconv.Atoi(fields[1])
		case "VmHWM:":
			peak, _ = strconv.Atoi(fields[1])
		}
	}
	return now >> 10, peak >> 10
}

// forgetPeak makes the kernel reset the peak.
func (s *server) forgetPeak() {
	s.t.Helper()
	must(s.t, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.cmd.Process.Pid), []byte("5"), 0))
}

// longJobs starts a server, has some long answers made, and restarts it, so that nothing of
// them is in its memory.
func longJobs(t *testing.T, jobs int, stream bool) (w *world, s *server, ids []string) {
	t.Helper()
	w = newWorld(t, setup{provider: longProvider{}})
	s = w.start()
	for range jobs {
		_, _, answer := w.post(t, "/api/generate", fmt.Sprintf(`{"model":"sim/long","prompt":"x","events":[],"stream":%v}`, stream))
		id := field(t, answer, "job_id")
		eventually(t, "a long answer is complete", func() bool {
			resp, err := w.http.Get("http://127.0.0.1/api/jobs?limit=100")
			must(t, err)
			_, _, list := read(t, resp)
			var page struct {
				Data []struct {
					JobID  string `json:"job_id"`
					Status string `json:"status"`
				} `json:"data"`
			}
			must(t, json.Unmarshal(list, &page))
			for _, j := range page.Data {
				if j.JobID == id {
					return j.Status == "completed"
				}
			}
			return false
		})
		ids = append(ids, id)
	}
	s.kill()
	w.env = append(w.env, fmt.Sprintf("GOMEMLIMIT=%d", readsLimit))
	return w, w.start(), ids
}

func field(t *testing.T, object []byte, name string) string {
	t.Helper()
	var fields map[string]any
	must(t, json.Unmarshal(object, &fields))
	text, _ := fields[name].(string)
	return text
}

// below checks that the server stayed below its limit.
func (s *server) below(limit int, what string) {
	s.t.Helper()
	now, peak := s.rss()
	s.t.Logf("%s: %d MiB in RAM, at most %d", what, now, peak)
	if peak > limit>>20 {
		s.t.Errorf("%s took %d MiB, want at most %d", what, peak, limit>>20)
	}
}

func TestManyReadersOfOneLongAnswerFitIntoASmallMemory(t *testing.T) {
	w, s, ids := longJobs(t, 1, false)
	before, _ := s.rss()
	s.forgetPeak()
	w.readWhole(t, ids[0])
	_, peak := s.rss()
	t.Logf("one reader: from %d to at most %d MiB", before, peak)
	const pages = 16 // MiB of the file that a connection to the database caches
	if extra := peak - before - pages; extra > 3*longAnswer>>20 {
		t.Errorf("one reader of %d MiB took %d MiB, want at most three times as much", longAnswer>>20, extra)
	}
	many := []int{16}
	if long {
		many = append(many, 64)
	}
	for _, readers := range many {
		s.forgetPeak()
		var all sync.WaitGroup
		for range readers {
			all.Go(func() { w.readWhole(t, ids[0]) })
		}
		all.Wait()
		s.below(readsLimit, fmt.Sprintf("%d readers", readers))
	}
}

func TestManyReadersOfManyLongAnswersFitIntoASmallMemory(t *testing.T) {
	w, s, ids := longJobs(t, 3, false)
	s.forgetPeak()
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() { w.readWhole(t, ids[i%len(ids)]) })
	}
	all.Wait()
	s.below(readsLimit, "12 readers of 3 answers")
}

// readWhole reads a long job, retrying when it is told to.
func (w *world) readWhole(t *testing.T, id string) {
	resp, err := w.http.Get("http://127.0.0.1/api/jobs/" + id)
	for ; err == nil && resp.StatusCode == http.StatusServiceUnavailable; resp, err = w.http.Get("http://127.0.0.1/api/jobs/" + id) {
		again, bad := strconv.Atoi(resp.Header.Get("Retry-After"))
		_ = resp.Body.Close()
		if bad != nil {
			t.Errorf("a 503 does not say when to retry: %v", bad)
			return
		}
		sleep(t.Context(), time.Duration(again)*time.Second) // as it was told to
	}
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || n != resp.ContentLength || n < 2*longAnswer {
		t.Errorf("got %d and %d bytes of %d, %v", resp.StatusCode, n, resp.ContentLength, err)
	}
}

func TestManyListsOfLongRowsFitIntoASmallMemory(t *testing.T) {
	w := newWorld(t, setup{})
	w.env = append(w.env, fmt.Sprintf("GOMEMLIMIT=%d", readsLimit))
	s := w.start()
	const rows, callers = 100, 300
	metadata, later := strings.Repeat("x", 16<<10-100), time.Now().Add(time.Hour).Format(time.RFC3339)
	for range rows {
		status, _, answer := w.post(t, "/api/generate", fmt.Sprintf(`{"prompt":"later","events":[],"run_at":%q,"metadata":{"long":%q}}`, later, metadata))
		if status != http.StatusAccepted {
			t.Fatalf("got %d: %s", status, answer)
		}
	}
	s.forgetPeak()
	var all sync.WaitGroup
	var whole atomic.Int64
	for range callers {
		all.Go(func() {
			resp, err := w.http.Get(fmt.Sprintf("http://127.0.0.1/api/jobs?limit=%d", rows))
			if err != nil {
				t.Error(err)
				return
			}
			_, _, list := read(t, resp)
			switch {
			case resp.StatusCode == http.StatusOK && len(list) > rows*len(metadata):
				whole.Add(1)
			case resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "":
				t.Errorf("got %d with %d bytes, want the list, or a 503 that says when to retry", resp.StatusCode, len(list))
			}
		})
	}
	all.Wait()
	if whole.Load() == 0 {
		t.Error("nobody got the list")
	}
	t.Logf("%d of %d callers got the list", whole.Load(), callers)
	s.below(readsLimit/2, fmt.Sprintf("%d callers of a list", callers))
}

func TestManySlowReadersOfEventsFitIntoASmallMemory(t *testing.T) {
	w, s, ids := longJobs(t, 4, true)
	for _, transport := range []string{"stream", "ws"} {
		s.forgetPeak()
		ctx, leave := context.WithTimeout(t.Context(), 6*time.Second)
		var all sync.WaitGroup
		for i := range 32 {
			all.Go(func() { w.readSlowly(t, ctx, ids[i%len(ids)], transport) })
		}
		all.Wait()
		leave()
		s.below(readsLimit, "32 slow readers by "+transport)
	}
	// A reader that is not slow gets all of it, once the others have left.
	for {
		resp, err := w.http.Get("http://127.0.0.1/api/jobs/" + ids[0] + "/stream")
		must(t, err)
		if resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "" {
			_ = resp.Body.Close()
			sleep(t.Context(), time.Second) // as it was told to, or less
			continue
		}
		_, _, text := read(t, resp)
		if !bytes.Contains(text, []byte("event: job.completed")) || len(text) < 2*longAnswer {
			t.Errorf("got %d with %d bytes of events, without the end", resp.StatusCode, len(text))
		}
		break
	}
	s.below(readsLimit, "one reader to the end")
}

// readSlowly reads 64 KiB of a job's events each 100 ms, until ctx ends.
func (w *world) readSlowly(t *testing.T, ctx context.Context, id, transport string) {
	conn, err := net.Dial("tcp", w.address())
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	_ = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	var in io.Reader = conn
	if transport == "ws" {
		reader, _, err := ws.Dialer{}.Upgrade(conn, &url.URL{Scheme: "ws", Host: w.address(), Path: "/api/jobs/" + id + "/ws"})
		if err != nil {
			return // a 503: there is no memory for one more log
		}
		if reader != nil {
			in = reader
		}
	} else {
		_, _ = fmt.Fprintf(conn, "GET /api/jobs/%s/stream HTTP/1.1\r\nHost: localhost\r\n\r\n", id)
	}
	pace := time.NewTicker(100 * time.Millisecond)
	defer pace.Stop()
	for ctx.Err() == nil {
		if _, err := io.CopyN(io.Discard, in, 64<<10); err != nil {
			return
		}
		<-pace.C
	}
}
