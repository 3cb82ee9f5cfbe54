package conns

import (
	"bytes"
	"strings"
	"testing"
)

func TestAHeadEndsBehindItsFirstBlankLine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ head, rest string }{
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "body\r\n\r\n"},
		{"GET / HTTP/1.1\nHost: x\n\n", "\n"},
		{"\r\n\nGET / HTTP/1.1\r\n\r\n", ""},
		{"GET / HTTP/1.1\r\n\r\r\nA: \r\n \r\n\n", "rest"},
	} {
		text := []byte(test.head + test.rest)
		for cut := range len(text) + 1 { // wherever it is torn
			var h head
			n, whole := h.read(text[:cut])
			if !whole {
				var more int
				more, whole = h.read(text[cut:])
				n += more
			}
			if !whole || n != len(test.head) || h.size != n {
				t.Fatalf("%q torn at %d: got %d, %v, size %d, want %d", text, cut, n, whole, h.size, len(test.head))
			}
		}
	}
}

func TestAHeadIsBoundedInBytesAndInLines(t *testing.T) {
	t.Parallel()
	const line = "GET / HTTP/1.1\r\n"
	headers := strings.Repeat("a:\n", MaxHeaders)
	long := "a:" + strings.Repeat("x", MaxHead-len(line)-4-2) + "\r\n"
	for text, tooLarge := range map[string]bool{
		line + headers + "\n":      false,
		line + headers + "a:\n":    false, // the next line decides
		line + headers + "a:\n\n":  true,
		strings.Repeat("\n", 200):  true,
		line + long + "\r\n":       false,
		line + "a" + long + "\r\n": true,
	} {
		var h head
		h.read([]byte(text))
		if h.tooLarge() != tooLarge {
			t.Errorf("%d bytes, %d lines: too large is %v, want %v", h.size, h.lines, h.tooLarge(), tooLarge)
		}
	}
	if n := len(line) + len(long) + 2; n != MaxHead {
		t.Errorf("the head that just fits has %d bytes", n)
	}
}

func BenchmarkHead(b *testing.B) {
	text := []byte("POST /api/generate HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 2000\r\n" +
		"Authorization: Bearer key\r\nContent-Type: application/json\r\n\r\n" + strings.Repeat("x", 2000))
	b.ReportAllocs()
	for b.Loop() {
		var h head
		if _, whole := h.read(text); !whole {
			b.Fatal("no end")
		}
	}
}

func FuzzHead(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nA: b\r\n\r\nrest"), 5)
	f.Fuzz(func(t *testing.T, text []byte, cut int) {
		var all, torn head
		n, whole := all.read(text)
		cut = max(0, min(cut, len(text)))
		m, end := torn.read(text[:cut])
		if !end {
			var more int
			more, end = torn.read(text[cut:])
			m += more
		}
		if n != m || whole != end || all.lines != torn.lines {
			t.Fatalf("in one piece %d, %v; torn %d, %v", n, whole, m, end)
		}
		if whole && bytes.IndexByte(text[:n], '\n') < 0 {
			t.Fatal("it ends without a line")
		}
	})
}
