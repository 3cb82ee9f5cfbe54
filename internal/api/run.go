package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// The times of a connection. A request's body and its answer have time of their
// own on top, by their size.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute // between two requests
	answerGrace   = 30 * time.Second
	// writeTimeout stands behind the deadline that every answer sets for itself.
	writeTimeout = maxWait + 2*answerGrace
	maxHeader    = 64 << 10
	closeTimeout = 5 * time.Second
	// firstWord is what a connection gets at the end that has sent nothing yet.
	firstWord = 50 * time.Millisecond
)

// HTTPServer is an http.Server with limits on all that a stranger can make
// last. [Server.Run] bounds its connections, too.
func (s *Server) HTTPServer() *http.Server {
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		// Holds for a body too, unless bodyReader earns it more.
		ReadTimeout:    s.bodyGrace,
		WriteTimeout:   writeTimeout,
		IdleTimeout:    idleTimeout,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	server.RegisterOnShutdown(s.close)
	return server
}

// Run serves l until ctx is done. Then it takes no more requests, has those
// that wait for a job answered as the job stands, those that watch one told to come
// again, and returns nil when all are answered, or after 5 s. It does the same, and returns
// an error, when l fails. It closes l. A Server runs once.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	defer s.close()
	server, guests := s.HTTPServer(), newCrowd(l, s.maxConns)
	guests.watch(server)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(guests) }()
	var again sync.WaitGroup
	again.Go(func() { _ = server.Serve(returning{guests}) }) // until guests close
	defer func() {
		_ = guests.Close() // where it is not closed yet
		again.Wait()
		guests.rest.Wait()
	}()
	var served error
	select {
	case served = <-ended:
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	err := server.Shutdown(patience)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("connections were cut off at the end", slog.Any("err", err))
		err = server.Close()
	}
	s.readers.end(patience)
	if served == nil {
		served = <-ended
	}
	if !errors.Is(served, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", served)
	}
	if err != nil {
		return fmt.Errorf("close HTTP: %w", err)
	}
	return nil
}
