package provider

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/ringback/ringback/internal/protocol"
)

// BenchmarkAssemble assembles the answer of a stream of 500 tokens as a provider sends it,
// one event per read. allocs/event is the part that grows with the length of answers.
func BenchmarkAssemble(b *testing.B) {
	for _, d := range dialects {
		b.Run(d.protocol, func(b *testing.B) {
			recorded := d.answerOf(strings.Fields(strings.Repeat(`A webhook is a request that comes to you:\n\n\"POST /hook\", with a body. `, 40))[:500])
			client := d.offline(b)
			b.SetBytes(int64(len(recorded)))
			b.ReportAllocs()
			before := mallocs()
			for b.Loop() {
				if _, failure := receive(b, client, &eventByEvent{recorded}); failure != nil {
					b.Fatal(failure)
				}
			}
			b.ReportMetric(float64(mallocs()-before)/float64(b.N*strings.Count(recorded, "\n\n")), "allocs/event")
		})
	}
}

// answerOf returns the stream of an answer of these words, with all members that OpenAI's
// own events have.
func (d dialect) answerOf(words []string) string {
	var b strings.Builder
	b.WriteString(d.begin)
	for _, word := range words {
		b.WriteString(strings.Replace(d.some, "Some text", " "+word, 1))
	}
	b.WriteString(d.finish)
	return strings.NewReplacer(
		`"id":"c1"`, `"id":"chatcmpl-CJx4zJxVq0kZtq3vVq8Zr0Q2b1cDe"`,
		`"choices":`, `"service_tier":"default","system_fingerprint":"fp_44709d6fcb","choices":`,
		`"finish_reason":null}]`, `"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"k3JZ0q"`,
	).Replace(b.String())
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// eventByEvent returns one event at a time.
type eventByEvent struct{ left string }

func (e *eventByEvent) Read(p []byte) (int, error) {
	if e.left == "" {
		return 0, io.EOF
	}
	event, _, _ := strings.Cut(e.left, "\n\n")
	n := copy(p, e.left[:min(len(event)+2, len(e.left))])
	e.left = e.left[n:]
	return n, nil
}

// BenchmarkEncodeRequest encodes the request of a prompt of 1 KiB.
func BenchmarkEncodeRequest(b *testing.B) {
	prompt := protocol.Prompt{Model: "claude-sonnet-5-5", Prompt: strings.Repeat("Why is \"the sky\" blue?\n", 45)}
	for _, d := range dialects {
		b.Run(d.protocol, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := protocol.EncodeRequest(d.protocol, prompt); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkGenerate calls a provider that answers at once with a few tokens, over one
// connection. The provider allocates nothing: what is counted is our own code and
// net/http's.
func BenchmarkGenerate(b *testing.B) {
	for _, d := range dialects {
		b.Run(d.protocol, func(b *testing.B) {
			client := clientOf(b, Config{Protocol: d.protocol, BaseURL: "http://" + answering(b, d.begin+d.some+d.finish)})
			b.ReportAllocs()
			for b.Loop() {
				generate(b, client, Request{})
			}
		})
	}
}

// answering returns the address of a server that answers all requests alike.
func answering(b *testing.B, stream string) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(stream), stream)
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			answerAll(conn, answer)
		}
	}()
	b.Cleanup(func() { listener.Close(); <-served })
	return listener.Addr().String()
}

// answerAll answers each request whose body ends as ours do.
func answerAll(conn net.Conn, answer []byte) {
	defer conn.Close()
	request, n := make([]byte, 4<<10), 0
	for {
		more, err := conn.Read(request[n:])
		if n += more; err != nil {
			return
		}
		if bytes.HasSuffix(request[:n], []byte("true}")) || bytes.HasSuffix(request[:n], []byte("true}}")) {
			conn.Write(answer)
			n = 0
		}
	}
}
