//go:build siege

package e2e_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/ringback/ringback"
)

// Receivers that read nothing hold as many bodies of 2 MiB as there is room for. That must
// not shut anybody out, nor stop claims, nor take more memory than there is: webhooks have
// their own pool of memory.
func TestReceiversThatReadNothingKeepNoJobOut(t *testing.T) {
	// Not parallel: it takes memory.
	const limit, webhooks, innocents = 256 << 20, 116, 100
	w := newWorld(t, setup{provider: answersOfSize(map[string]int{"sim/large": 1 << 20, "sim/small": 100})})
	w.env = append(w.env, fmt.Sprintf("GOMEMLIMIT=%d", limit/10*9))
	s := w.start()
	w.ready()
	receivers := stillReceivers(t, 16)
	var large []string
	for i := range webhooks {
		large = append(large, w.submit(ringback.Request{Prompt: "Hi", Model: "sim/large", CallbackURL: receivers[i%len(receivers)]}))
		if i%4 == 3 { // what the API takes is not what is tried
			w.ended(large[i])
		}
	}
	var all sync.WaitGroup
	failed := make(chan error, innocents)
	for range 10 {
		all.Go(func() {
			for range innocents / 10 {
				accepted, err := w.api.Submit(t.Context(), ringback.Request{Prompt: "Hi", Model: "sim/small", CallbackURL: w.callback})
				if err == nil {
					_, err = w.deliveredWithin(accepted.JobID)
				}
				if err != nil {
					failed <- err
				}
			}
		})
	}
	all.Wait()
	close(failed)
	for err := range failed {
		t.Errorf("an innocent job: %v", err)
	}
	for _, id := range large {
		if job := w.ended(id); job.Status != ringback.Completed {
			t.Errorf("job %s: got %s, want completed", id, job.Status)
		}
	}
	if peak := s.statusOf(t, "VmHWM"); peak > limit {
		t.Errorf("the server took %d MiB, want at most %d", peak>>20, limit>>20)
	} else {
		t.Logf("the server took %d MiB", peak>>20)
	}
}

// answersOfSize returns a provider whose answers have as many bytes of text as their model
// says.
func answersOfSize(sizes map[string]int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, _ := io.ReadAll(r.Body)
		for model, size := range sizes {
			if strings.Contains(string(request), `"model":"`+model+`"`) {
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprintf(w, `{"id":"m","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"%s"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}`,
					strings.Repeat("x", size))
			}
		}
	})
}

// stillReceivers returns the URLs of receivers that accept connections and read nothing,
// each on its own host.
func stillReceivers(t *testing.T, n int) (urls []string) {
	t.Helper()
	for i := range n {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.%d:0", i+2))
		must(t, err)
		var mu sync.Mutex
		var conns []net.Conn
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
				mu.Lock()
				conns = append(conns, c)
				mu.Unlock()
			}
		}()
		t.Cleanup(func() {
			l.Close()
			mu.Lock()
			defer mu.Unlock()
			for _, c := range conns {
				c.Close()
			}
		})
		urls = append(urls, "http://"+l.Addr().String()+"/hook")
	}
	return urls
}
