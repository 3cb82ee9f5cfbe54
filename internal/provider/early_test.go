package provider

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
)

// The response of a provider that answers before it has read a large request is read: an
// answer is one, and a refusal costs no attempt.
func TestAProviderThatAnswersBeforeItHasReadAllIsHeard(t *testing.T) {
	for _, size := range []int{300 << 10, 1000 << 10, 3 << 20} {
		for status, want := range map[int]Verdict{200: "", 413: Reject, 429: Hold} {
			t.Run(fmt.Sprint(status, size), func(t *testing.T) {
				client := early(t, fmt.Sprintf("HTTP/1.1 %d Early\r\nConnection: close\r\nContent-Type: text/event-stream\r\n\r\n", status)+begin+block+some+finish)
				request := Request{Body: []byte(`{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat("x", size) + `"}]}`)}
				if want == "" {
					generate(t, client, request)
					return
				}
				if got := failure(t.Context(), t, client, request); got.Verdict != want || got.StatusCode != status {
					t.Errorf("got %s, %d (%v), want %s, %d", got.Verdict, got.StatusCode, got, want, status)
				}
			})
		}
	}
}

// early answers as soon as it has the header of a request, and closes.
func early(t *testing.T, answer string) *Client {
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
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				c.Write([]byte(answer))
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return clientOf(t, Config{BaseURL: "http://" + l.Addr().String()})
}
