package api

import "time"

// Hurry makes a server say often that it lives, and be impatient with readers.
func (s *Server) Hurry(beat, readerGrace time.Duration) { s.beat, s.readerGrace = beat, readerGrace }

// LogTo is a logger, and what it has written so far.
var LogTo = logTo

// PanicOverLarge has a server panic over what is large: an answer of 64 KiB, say.
func (s *Server) PanicOverLarge() {
	s.reserve = func(bytes int64) (func(), error) {
		if bytes >= 2*chunkBytes {
			panic("this is large")
		}
		return func() {}, nil
	}
}
