package webhook

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"testing"
)

// Many receivers read a header, answer, and close: their answer counts, not the rest of the
// body that they did not read.
func TestAReceiverThatAnswersBeforeItHasReadAllIsHeard(t *testing.T) {
	for status, want := range map[int]Verdict{200: Delivered, 413: classify(413).Verdict, 429: Retry} {
		for _, size := range []int{300 << 10, 1000 << 10, 6 << 20} {
			t.Run(fmt.Sprint(status, size), func(t *testing.T) {
				url := rawReceiver(t, func(c *net.TCPConn, in *bufio.Reader) {
					if _, err := http.ReadRequest(in); err == nil {
						fmt.Fprintf(c, "HTTP/1.1 %d Early\r\nContent-Length: 5\r\nConnection: close\r\n\r\nEarly", status)
					}
				})
				s := newSender(t, SenderConfig{})
				m := message(url)
				m.Body = bytes.Repeat([]byte("x"), size)
				for range 5 {
					if got := s.Send(t.Context(), m); got.StatusCode != status || got.Verdict != want {
						t.Fatalf("got %d, %s (%v), want %d, %s", got.StatusCode, got.Verdict, got.Cause, status, want)
					}
				}
			})
		}
	}
}
