package api

import (
	"io"
	"net/http"
	"time"
)

const (
	// strangersPassed is how many strangers' bodies are read and discarded at once.
	strangersPassed = 8
	// strangerGrace is how long any other stranger may take to read its response.
	strangerGrace = 500 * time.Millisecond
)

// An unread body belongs to a request that was answered before a key was presented. No byte
// of it is read before the response.
type unread struct{ io.ReadCloser }

// leaveUnread sends the response to a request before its body is read, and ends the
// connection.
func leaveUnread(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		r.Body = unread{r.Body}
		w.Header().Set("Connection", "close")
	}
}

// linger gives the client whose body was left unread time to read its response. For a few
// at a time the body is read and discarded: a client with a wrong key may read nothing
// before it has sent everything.
func (s *Server) linger(w http.ResponseWriter, r *http.Request) {
	if _, ok := r.Body.(unread); !ok {
		return
	}
	c := http.NewResponseController(w)
	_ = c.Flush() // fails where reading will
	select {
	case s.passing <- struct{}{}:
		defer func() { <-s.passing }()
		passOver(w, r)
	default:
		_ = c.SetReadDeadline(time.Now().Add(strangerGrace)) // net/http reads a little of it, and closes
	}
}
