package api

import (
	"io"
	"net/http"
	"time"

	"github.com/ringback/ringback/internal/conns"
)

const (
	// strangersPassed is how many bodies of strangers are read and forgotten at once.
	strangersPassed = 8
	// strangerGrace is what any other stranger gets to take its answer.
	strangerGrace = 500 * time.Millisecond
)

// An unread body belongs to a request that was answered before anybody has shown a key.
// No byte of it is read before the answer.
type unread struct{ io.ReadCloser }

// leaveUnread has the answer to a request leave before its body is read, and end the
// connection.
func leaveUnread(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		r.Body = unread{r.Body}
		w.Header().Set("Connection", "close")
	}
}

// linger gives the client whose body was left unread time to take its answer. Of a few
// at a time the body is passed over: a client that has mistaken its key may read nothing
// before it has sent all.
func (s *Server) linger(w http.ResponseWriter, r *http.Request) {
	if _, ok := r.Body.(unread); !ok {
		return
	}
	c := http.NewResponseController(w)
	_ = c.Flush() // it fails where reading will
	select {
	case s.passing <- struct{}{}:
		defer func() { <-s.passing }()
		passOver(w, r)
	default:
		_ = c.SetReadDeadline(time.Now().Add(strangerGrace)) // net/http reads a little of it, and closes
	}
}

// holdLittle bounds what the system keeps of an answer that is the same for everybody
// and that its reader, who may be a stranger, does not take.
func holdLittle(r *http.Request) {
	if c := conns.Of(r); c != nil {
		if tcp, ok := c.Conn.(interface{ SetWriteBuffer(bytes int) error }); ok {
			_ = tcp.SetWriteBuffer(sendBuffer) // a hint
		}
	}
}
