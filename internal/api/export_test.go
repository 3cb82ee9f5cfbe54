package api

import "time"

// Hurry makes a server send heartbeats often, and be impatient with readers.
func (s *Server) Hurry(beat, readerGrace time.Duration) {
	s.readers.Beat, s.readers.Grace = beat, readerGrace
}

// LogTo returns a logger, and what it has written so far.
var LogTo = logTo

// PanicOverLarge makes a server panic over large responses, such as one of 64 KiB.
func (s *Server) PanicOverLarge() {
	reserve := func(bytes int64) (func(), error) {
		if bytes >= 64<<10 {
			panic("this is large")
		}
		return func() {}, nil
	}
	s.reserve, s.readers.Reserve = reserve, reserve
}
