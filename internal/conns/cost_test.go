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
			s := serve(t, most, nil)
			before := inUse()
			opened := make([]net.Conn, most)
			for i := range opened {
				c, err := net.Dial("tcp", s.addr)
				must(t, err)
				defer c.Close()
				_, err = io.WriteString(c, test.send)
				must(t, err)
				opened[i] = c
			}
			s.eventually("all connections", func() bool { return s.metric("ringback_connections", "") >= most })
			time.Sleep(300 * time.Millisecond) // nothing shows from outside that half a head was read
			each := (inUse() - before) / most
			t.Logf("%d bytes a connection, with its other end", each)
			if each > test.most {
				t.Errorf("%d bytes a connection, want at most %d", each, test.most)
			}
			runtime.KeepAlive(opened)
		})
	}
}

func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
