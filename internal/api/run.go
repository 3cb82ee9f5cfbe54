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

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/conns"
)

// The times of a connection. A request's body and its answer have time of their
// own on top, by their size.
const (
	idleTimeout = 2 * time.Minute // between two requests
	answerGrace = 30 * time.Second
	// writeTimeout stands behind the deadline that every answer sets for itself.
	writeTimeout = maxWait + 2*answerGrace
	closeTimeout = 5 * time.Second
)

// HTTPServer is an http.Server with limits on all that a stranger can make
// last. [Server.Run] bounds its connections, too.
func (s *Server) HTTPServer() *http.Server {
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: conns.HeadTimeout,
		// Holds for a body too, unless bodyReader earns it more.
		ReadTimeout:    s.bodyGrace,
		WriteTimeout:   writeTimeout,
		IdleTimeout:    idleTimeout,
		MaxHeaderBytes: conns.MaxHead,
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	server.RegisterOnShutdown(s.close)
	return server
}

// bound bounds the connections of l and the heads of their requests.
func (s *Server) bound(l net.Listener) *conns.Listener {
	return conns.New(l, conns.Config{Most: s.maxConns, IdleTimeout: idleTimeout, TooLarge: headTooLarge(), Logger: s.log, Metrics: s.connections})
}

// headTooLarge is the answer to a request whose head is too large, byte for byte: no
// handler sees it.
func headTooLarge() []byte {
	rep := errorReply(&ringback.Error{Code: ringback.HeadersTooLarge, Message: fmt.Sprintf(
		"the request line and the headers are too large; together they may have %d bytes and %d headers", conns.MaxHead, conns.MaxHeaders)})
	body, _ := encode(rep.body) // an error's body always has a form
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n%s",
		rep.status, http.StatusText(rep.status), len(body), body)
}

// Run serves l until ctx is done. Then it takes no more requests, has those
// that wait for a job answered as the job stands, those that watch one told to come
// again, and returns nil when all are answered, or after 5 s. It does the same, and returns
// an error, when l fails. It closes l. A Server runs once.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	defer s.close()
	server, bounded := s.HTTPServer(), s.bound(l)
	bounded.Watch(server)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(bounded) }()
	var again sync.WaitGroup
	again.Go(func() { _ = server.Serve(bounded.Returning()) }) // until it is closed
	defer func() {
		_ = bounded.Close() // where it is not closed yet
		again.Wait()
		bounded.Wait()
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
