// Package cli has the commands that talk to a running server: submit, jobs, deliveries, dead
// and nodes.
//
//	remote.go      what they share: the session with the server, and its errors
//	submit.go      ringback submit; its parts are submit_….go, answer.go shows an answer
//	jobs.go        ringback jobs; each of its commands is a jobs_….go
//	deliveries.go  ringback deliveries
//	dead.go        ringback dead; its parts are dead_….go
//	nodes.go       ringback nodes
//	complete.go    what the shell completes
//
// The sentences about a job are in internal/why.
package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/config"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
	"github.com/ringback/ringback/internal/terminal"
)

// session is one run of a command that talks to a server.
type session struct {
	*client.Client
	terminal.Output

	url    string // of the server
	hasKey bool   // it sends a key
	again  string // flags that a command shown to the user needs to reach the same server
	in     io.Reader
}

// remote makes cmd a command that talks to a server. It adds the flags that all of these have,
// and turns errors of run into a sentence and an exit code.
func remote(cmd *cobra.Command, run func(ctx context.Context, s *session, args []string) error) *cobra.Command {
	cmd.DisableFlagsInUseLine = true
	cmd.Annotations = map[string]string{config.HelpTitle: remoteVariables(), exit.HelpTitle: exit.HelpText(exit.Remote())}
	terminal.AddOutputFlags(cmd.Flags())
	config.AddFlags(cmd.Flags(), "url", "config")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := newSession(cmd)
		if err != nil {
			return err
		}
		return s.explain(cmd.Context(), run(cmd.Context(), s, args))
	}
	return cmd
}

// group makes cmd a command that only has subcommands.
func group(cmd *cobra.Command, below ...*cobra.Command) *cobra.Command {
	cmd.Args = cobra.NoArgs
	cmd.DisableFlagsInUseLine = true
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.AddCommand(below...)
	return cmd
}

// ids checks that there are at least least and at most most ids. most 0: any number.
func ids(least, most int, what, list string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return exit.Errorf(exit.Usage, "name a %s by its id; to list them: %s\nSee: %s --help", what, list, cmd.CommandPath())
		case most > 0 && len(args) > most:
			return exit.Errorf(exit.Usage, "one %s at a time; %q is one too many\nSee: %s --help", what, args[most], cmd.CommandPath())
		}
		return nil
	}
}

func remoteVariables() string {
	return `  RINGBACK_URL       the server; goes after --url
  RINGBACK_API_KEY   the server's key; there is no flag for it, since ps would show it
  RINGBACK_CONFIG    a file with the keys url and api_key; goes after --config. Where none
                     is named: ./ringback.yaml, or ringback/config.yaml in ` + "~/.config" + `
  NO_COLOR           no colours`
}

func newSession(cmd *cobra.Command) (*session, error) {
	c, err := config.LoadRemote(cmd.Flags(), os.Environ())
	if err != nil {
		return nil, err
	}
	s := &session{Output: terminal.OutputOf(cmd), url: c.URL, hasKey: c.APIKey != "", in: cmd.InOrStdin()}
	for _, name := range []string{"url", "config"} {
		if f := cmd.Flags().Lookup(name); f.Changed {
			s.again += " --" + name + " " + plain.ShellQuote(f.Value.String())
		}
	}
	s.Client, err = client.New(client.Config{URL: c.URL, APIKey: c.APIKey, HTTPClient: newHTTPClient()})
	return s, err
}

// newHTTPClient returns a client that gives up on a server that does not respond, but not on
// one that holds a request until a job ends.
func newHTTPClient() *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the API has none
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 90 * time.Second,
			DisableKeepAlives:     true, // a command makes few calls
		},
	}
}

// ours returns a command line of this program for the user to run. It reaches the same server.
func (s *session) ours(format string, args ...any) string {
	return "ringback " + fmt.Sprintf(format, args...) + s.again
}

// explain turns an error of a call into an *exit.Error that says what to do.
func (s *session) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*exit.Error](err); ok {
		return err
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return exit.Errorf(exit.Interrupted, "interrupted")
	}
	if e, ok := errors.AsType[*ringback.Error](err); ok {
		return s.refused(e)
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		return s.unreachable(e.Err)
	}
	return err
}

// refused explains an error response of the server.
func (s *session) refused(e *ringback.Error) error {
	message := plain.Printable(e.Message)
	switch e.Code {
	case ringback.Unauthorized:
		if s.hasKey {
			return exit.Errorf(exit.Auth, "%s refused the API key: %s; correct RINGBACK_API_KEY", s.url, message)
		}
		return exit.Errorf(exit.Auth, "%s requires an API key; set RINGBACK_API_KEY to the server's key", s.url)
	case ringback.Forbidden, ringback.Misdirected:
		return exit.Errorf(exit.Auth, "%s: %s", s.url, message)
	case ringback.NotFound, ringback.Gone:
		return exit.Errorf(exit.NotFound, "%s", message)
	case ringback.InvalidRequest, ringback.TooLarge, ringback.HeadersTooLarge, ringback.UnsupportedMediaType, ringback.IdempotencyMismatch:
		if e.Field != "" && !strings.Contains(message, e.Field) {
			message = plain.Printable(e.Field) + ": " + message
		}
		return exit.Errorf(exit.Usage, "%s", message)
	case ringback.Unavailable, ringback.RateLimited:
		again := ""
		if e.RetryAfterSeconds > 0 {
			again = fmt.Sprintf("; try again in %d s", e.RetryAfterSeconds)
		}
		return exit.Errorf(exit.Unavailable, "%s: %s%s", s.url, message, again)
	default:
		return exit.Errorf(exit.Failure, "%s", message)
	}
}

// unreachable explains why there was no response.
func (s *session) unreachable(err error) error {
	const another = "to use another server, set --url or RINGBACK_URL"
	dns, noName := errors.AsType[*net.DNSError](err)
	var certificate *tls.CertificateVerificationError
	netErr, _ := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return exit.Errorf(exit.Unavailable, "no server listens at %s; start one with: ringback serve (or ringback serve --simulate, which needs no key); %s", s.url, another)
	case noName:
		return exit.Errorf(exit.Unavailable, "%s cannot be reached: there is no host %s; %s", s.url, dns.Name, another)
	case errors.As(err, &certificate):
		return exit.Errorf(exit.Unavailable, "%s: its certificate is not trusted: %w", s.url, certificate.Err)
	case netErr != nil && netErr.Timeout():
		return exit.Errorf(exit.Unavailable, "%s does not respond in time; %s", s.url, another)
	}
	return exit.Errorf(exit.Unavailable, "%s: %s; %s", s.url, plain.Printable(err.Error()), another)
}
