package simulate

import (
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// give answers one request.
func (a Answer) give(w http.ResponseWriter, r *http.Request) {
	if a.Fault != DripHeader && a.Fault != DripBody && !wait(r, a.Delay) {
		return
	}
	switch a.Fault {
	case Hang:
		<-r.Context().Done()
	case Reset, Close, Garbage, DripHeader:
		a.spoil(w)
	case DripBody:
		a.begin(w)
		flood(w, r, "x", a.drip())
	case EndlessBody:
		a.begin(w)
		flood(w, r, strings.Repeat("x", 32<<10), 0)
	case ShortBody:
		w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)+100))
		a.begin(w)
		panic(http.ErrAbortHandler)
	default:
		a.begin(w)
	}
}

// begin sends status, headers and body.
func (a Answer) begin(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.Header)
	w.WriteHeader(a.Status)
	if a.Body != "" {
		_, _ = io.WriteString(w, a.Body) // a client that left does not matter
	}
	if a.Fault != NoFault {
		_ = http.NewResponseController(w).Flush()
	}
}

// spoil takes the connection over from net/http and mistreats it.
func (a Answer) spoil(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2: breaking the stream comes closest
	}
	defer conn.Close()
	switch a.Fault {
	case Reset:
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	case Garbage:
		_, _ = io.WriteString(conn, "\x16\x03\x01 this is not HTTP\r\n\r\n")
	case DripHeader:
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nX-Drip: ")
		for err == nil {
			time.Sleep(a.drip())
			_, err = io.WriteString(conn, "x")
		}
	}
}

// drip returns the time between two bytes.
func (a Answer) drip() time.Duration {
	if a.Delay > 0 {
		return a.Delay
	}
	return 10 * time.Millisecond
}

// flood writes until the client leaves.
func flood(w http.ResponseWriter, r *http.Request, what string, pace time.Duration) {
	for wait(r, pace) {
		if _, err := io.WriteString(w, what); err != nil {
			return
		}
		if http.NewResponseController(w).Flush() != nil {
			return
		}
	}
}
