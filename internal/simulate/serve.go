package simulate

import (
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Serve serves a simulated provider or receiver on a loopback listener. stop closes both
// and returns when they have ended.
func Serve(l net.Listener, h http.Handler) (stop func()) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // always http.ErrServerClosed
	}()
	return func() {
		_ = server.Close() // breaks off whatever hangs on purpose
		<-done
	}
}
