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

	"golang.org/x/net/netutil"
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
// last. Use it with a listener of [Server.Listener]; [Server.Run] does both.
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

// Listener bounds the connections that l has open at once.
func (s *Server) Listener(l net.Listener) net.Listener { return netutil.LimitListener(l, s.maxConns) }

// Run serves l until ctx is done. Then it takes no more requests, has those
// that wait for a job answered as the job stands, and returns nil when all are
// answered, or after 5 s. It closes l. A Server runs once.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	defer s.close()
	server := s.HTTPServer()
	hurrySilent(server)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(s.Listener(l)) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	err := server.Shutdown(patience)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("connections were cut off at the end", slog.Any("err", err))
		err = server.Close()
	}
	if e := <-ended; err == nil && !errors.Is(e, http.ErrServerClosed) {
		err = e
	}
	if err != nil {
		return fmt.Errorf("close HTTP: %w", err)
	}
	return nil
}

// hurrySilent has connections that never sent a byte end soon after the server's
// end has begun. Clients open some ahead of need, and Shutdown alone would wait
// 5 s for their first request.
func hurrySilent(server *http.Server) {
	var silent sync.Map // net.Conn → nothing
	server.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateNew {
			silent.Store(c, nil)
			return
		}
		silent.Delete(c)
	}
	server.RegisterOnShutdown(func() {
		silent.Range(func(c, _ any) bool {
			_ = c.(net.Conn).SetReadDeadline(time.Now().Add(firstWord)) // it may have ended
			return true
		})
	})
}
