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

// The times of a connection. A request's body and its response have additional time, by
// their size.
const (
	idleTimeout = 2 * time.Minute // between two requests
	answerGrace = 30 * time.Second
	// writeTimeout backs up the deadline that every response sets for itself.
	writeTimeout = maxWait + 2*answerGrace
	closeTimeout = 5 * time.Second
)

// HTTPServer returns an http.Server with limits on everything that a stranger can prolong.
// [Server.Run] bounds its connections, too.
func (s *Server) HTTPServer() *http.Server {
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: conns.HeadTimeout,
		// It also holds for a body, unless bodyReader extends it.
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

// headTooLarge returns the response to a request whose head is too large, byte for byte: no
// handler sees it.
func headTooLarge() []byte {
	rep := errorReply(&ringback.Error{Code: ringback.HeadersTooLarge, Message: fmt.Sprintf(
		"the request line and the headers are too large; together they may have %d bytes and %d headers", conns.MaxHead, conns.MaxHeaders)})
	body, _ := encode(rep.body) // an error's body always has a form
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n%s",
		rep.status, http.StatusText(rep.status), len(body), body)
}

// Run serves l until ctx is done. Then it accepts no more requests, answers requests that
// wait for a job with the job's present state, tells readers to come back, and returns nil
// once all have their answers, or after 5 s. It does the same, and returns an error, when l
// fails. It closes l. A Server runs once.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	defer s.close()
	server, bounded := s.HTTPServer(), s.bound(l)
	bounded.Watch(server)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(bounded) }()
	var again sync.WaitGroup
	again.Go(func() { _ = server.Serve(bounded.Returning()) }) // until it is closed
	defer func() {
		_ = bounded.Close() // if it is not closed yet
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
	s.readers.End(patience)
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
