// Package listen is the receiver of ringback listen: it verifies webhooks, prints them,
// responds to them, and forwards them to another receiver.
//
//	listen.go   the server, and what it prints at the start
//	receive.go  one webhook: verify, compare with earlier ones, respond
//	forward.go  --forward-to and --respond
//	print.go    a webhook as text, or as JSON
package listen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/address"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
)

// Config is what the flags say.
type Config struct {
	Addr      string   // listen here
	Respond   string   // status codes, separated by commas; "": 200
	ForwardTo string   // a URL; "": nowhere
	Events    []string // print and forward only these; empty: all
	JSON      bool     // print one JSON object per line

	Out  io.Writer // webhooks
	Talk io.Writer // everything else
}

// Server receives webhooks.
type Server struct {
	config   Config
	receiver *receiver
}

// New checks the configuration. Its errors are of type *exit.Error.
func New(c Config) (*Server, error) {
	answers, err := parseAnswers(c.Respond)
	if err != nil {
		return nil, exit.Errorf(exit.Usage, "--respond: %w", err)
	}
	forward, err := newForwarder(c.ForwardTo)
	if err != nil {
		return nil, exit.Errorf(exit.Usage, "--forward-to: %w", err)
	}
	for _, event := range c.Events {
		if !slices.Contains(Events(), event) {
			return nil, exit.Errorf(exit.Usage, "--events: %q is not one of %s", event, strings.Join(Events(), ", "))
		}
	}
	r := newReceiver(newPrinter(c.Out, c.JSON))
	r.answers, r.forward, r.events = answers, forward, c.Events
	return &Server{c, r}, nil
}

// Run receives until ctx is done. It verifies webhooks with the secrets.
func (s *Server) Run(ctx context.Context, secrets []ringback.Secret) error {
	s.receiver.secrets = secrets
	l, err := net.Listen("tcp", s.config.Addr)
	if err != nil {
		return address.Explain(err, s.config.Addr)
	}
	server := &http.Server{
		Handler:           s.receiver,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      2 * time.Minute,
	}
	fmt.Fprint(s.config.Talk, s.config.greeting(l.Addr(), secrets))
	stopped := make(chan error, 1)
	defer context.AfterFunc(ctx, func() {
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := server.Shutdown(patience); err != nil {
			stopped <- server.Close()
			return
		}
		stopped <- nil
	})()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("receive: %w", err)
	}
	return <-stopped
}

// Events returns the events that --events may name.
func Events() []string {
	var words []string
	for _, event := range ringback.TerminalEvents {
		words = append(words, string(event))
	}
	return words
}

// greeting returns a text that says what the command does, and which commands to paste
// elsewhere.
func (c Config) greeting(addr net.Addr, secrets []ringback.Secret) string {
	var list []string
	for _, s := range secrets {
		list = append(list, s.Reveal())
	}
	url, answer := address.URL(addr), "answers 200"
	switch {
	case c.ForwardTo != "" && c.Respond != "":
		answer = "forwards it to " + c.ForwardTo + ", answers " + c.Respond
	case c.ForwardTo != "":
		answer = "forwards it to " + c.ForwardTo
	case c.Respond != "":
		answer = "answers " + c.Respond
	}
	return fmt.Sprintf(`listening on %s · verifies both signatures, prints every webhook, %s

The server, in another terminal:
  WEBHOOK_SECRET=%s ringback serve --simulate --allow-callback %s

A job for it:
  curl http://127.0.0.1:8080/api/generate -H 'Content-Type: application/json' \
    -d '{"prompt":"Hello","model":"sim/slow","callback_url":"%s/"}'

With a provider's key in the server's environment, leave out --simulate and the model.

`, url, answer, plain.ShellQuote(strings.Join(list, ",")), callbackRange(addr), url)
}

// callbackRange returns the range that a server has to allow to reach addr.
func callbackRange(addr net.Addr) string {
	a, err := netip.ParseAddrPort(addr.String())
	ip := a.Addr().Unmap()
	switch {
	case err != nil || ip.Is4() && ip.IsLoopback() || ip.IsUnspecified():
		return "127.0.0.0/8"
	default:
		return netip.PrefixFrom(ip.WithZone(""), ip.BitLen()).String()
	}
}
