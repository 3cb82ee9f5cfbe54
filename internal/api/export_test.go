package api

import "time"

// Hurry makes a server say often that it lives, and be impatient with readers.
func (s *Server) Hurry(beat, readerGrace time.Duration) { s.beat, s.readerGrace = beat, readerGrace }

// LogTo is a logger, and what it has written so far.
var LogTo = logTo
