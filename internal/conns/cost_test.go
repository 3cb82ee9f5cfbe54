package conns_test

import (
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ringback/ringback/internal/conns"
)

// The bound on the number of connections is computed from the cost of one.
func TestAConnectionTakesNoMoreThanItsCost(t *testing.T) { // not parallel: it measures the whole process
	const most = 400
	long := "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("x", conns.MaxHead-100)
	tiny := "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("a:\n", conns.MaxHeaders-1)
	for _, test := range []struct {
		name, send string
		most       int64
	}{
		{"idle", get("/"), 28 << 10}, {"silent", "", 28 << 10}, {"half a long head", long, conns.Cost},
		{"many headers", tiny, 32 << 10}, {"half a body", post("")[:30] + "Content-Length: 9\r\n\r\n", conns.Cost},
	} {
		t.Run(test.name, func(t *testing.T) {
			// What else the process holds only adds to the figure, so the least of a few counts.
			each := costOf(t, test.send, most)
			for n := 1; n < 4 && each > test.most; n++ {
				each = min(each, costOf(t, test.send, most))
			}
			t.Logf("%d bytes a connection, with its other end", each)
			if each > test.most {
				t.Errorf("%d bytes a connection, want at most %d", each, test.most)
			}
		})
	}
}

// costOf returns how much memory each of some connections takes on which the same was sent.
func costOf(t *testing.T, send string, connections int) int64 {
	t.Helper()
	s := serve(t, connections, nil)
	before := inUse()
	opened := make([]net.Conn, connections)
	for i := range opened {
		c, err := net.Dial("tcp", s.addr)
		must(t, err)
		defer c.Close()
		_, err = io.WriteString(c, send)
		must(t, err)
		opened[i] = c
	}
	s.eventually("all connections", func() bool { return s.metric("ringback_connections", "") >= float64(connections) })
	time.Sleep(300 * time.Millisecond) // nothing shows from outside that half a head was read
	each := (inUse() - before) / int64(connections)
	runtime.KeepAlive(opened)
	return each
}

func inUse() int64 {
	var m runtime.MemStats
	for range 4 { // each collection halves the stacks that have become too large
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
