package main

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
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/terminal"
)

// session is one run of a command that talks to a server.
type session struct {
	*client.Client
	terminal.Output

	url    string // of the server
	hasKey bool   // a key is sent
	again  string // what a command that is shown must repeat to reach the same server
	in     io.Reader
}

// remote makes cmd a command that talks to a server: it gets the flags that all of
// these have, and what goes wrong in run becomes a sentence and an exit code.
func remote(cmd *cobra.Command, run func(ctx context.Context, s *session, args []string) error) *cobra.Command {
	cmd.DisableFlagsInUseLine = true
	cmd.Annotations = map[string]string{titleVariables: remoteVariables(), exit.HelpTitle: exit.HelpText(exit.Remote())}
	terminal.AddOutputFlags(cmd.Flags())
	addFlags(cmd.Flags(), "url", "config")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := newSession(cmd)
		if err != nil {
			return err
		}
		return s.explain(cmd.Context(), run(cmd.Context(), s, args))
	}
	return cmd
}

// group is a command that only has others below it.
func group(cmd *cobra.Command, below ...*cobra.Command) *cobra.Command {
	cmd.Args = cobra.NoArgs
	cmd.DisableFlagsInUseLine = true
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.AddCommand(below...)
	return cmd
}

// ids wants so many ids at least and at most; 0 is any number.
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

// localFile is the file of the working directory.
const localFile = "./ringback.yaml"

// loadRemote reads what a command has to know of its server: url and apiKey.
func loadRemote(flags *pflag.FlagSet, environ []string) (config, error) {
	r := &reader{flags: flags, environ: environ, k: koanf.New("."), places: []string{localFile}}
	if dir, err := os.UserConfigDir(); err == nil {
		r.places = append(r.places, filepath.Join(dir, "ringback", "config.yaml"))
	}
	var c config
	err := r.layers()
	if err == nil {
		err = r.take(&c, func(s setting) bool { return s.remote || s.key == "api_key" })
	}
	if err == nil {
		err = r.guardKey(c)
	}
	if err != nil {
		return c, exit.Errorf(exit.Usage, "%w", err)
	}
	return c, nil
}

// guardKey keeps the user's key from whoever wrote the file of the working
// directory: that file may have come with something that was downloaded.
func (r *reader) guardKey(c config) error {
	if r.file.path != localFile || c.apiKey == "" || !r.saidByFile("url") || r.saidByFile("api_key") {
		return nil
	}
	return fmt.Errorf("%s names the server %s, and the API key comes from elsewhere: it is sent there only if you also name the server, "+
		"with --url or RINGBACK_URL", r.file.path, c.url)
}

// saidByFile says whether the value of a key comes from the file.
func (r *reader) saidByFile(key string) bool {
	for _, s := range settings {
		if s.key == key {
			_, inFile := r.file.lines[key]
			return inFile && r.origin(s) == r.file.where(key)
		}
	}
	return false
}

func newSession(cmd *cobra.Command) (*session, error) {
	c, err := loadRemote(cmd.Flags(), os.Environ())
	if err != nil {
		return nil, err
	}
	s := &session{Output: terminal.OutputOf(cmd), url: c.url, hasKey: c.apiKey != "", in: cmd.InOrStdin()}
	for _, name := range []string{"url", "config"} {
		if f := cmd.Flags().Lookup(name); f.Changed {
			s.again += " --" + name + " " + terminal.ShellQuote(f.Value.String())
		}
	}
	s.Client, err = client.New(client.Config{URL: c.url, APIKey: c.apiKey, HTTPClient: newHTTPClient()})
	return s, err
}

// newHTTPClient makes one that gives up a server that says nothing, but not one
// that holds a request for a job's end.
func newHTTPClient() *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the API knows none
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 90 * time.Second,
			DisableKeepAlives:     true, // a command makes few calls, and leaves nothing behind
		},
	}
}

// ours is a command line of this program, to be shown: it reaches the same server.
func (s *session) ours(format string, args ...any) string {
	return "ringback " + fmt.Sprintf(format, args...) + s.again
}

// explain makes an error of a call a sentence that says what to do, with its code.
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

// refused explains what the server said.
func (s *session) refused(e *ringback.Error) error {
	message := terminal.Printable(e.Message)
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
			message = terminal.Printable(e.Field) + ": " + message
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

// unreachable explains what happened on the way to the server.
func (s *session) unreachable(err error) error {
	const mend = "to use another server, set --url or RINGBACK_URL"
	dns, noName := errors.AsType[*net.DNSError](err)
	var certificate *tls.CertificateVerificationError
	netErr, _ := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return exit.Errorf(exit.Unavailable, "no server listens at %s; start one with: ringback serve (or ringback serve --simulate, which needs no key); %s", s.url, mend)
	case noName:
		return exit.Errorf(exit.Unavailable, "%s cannot be reached: there is no host %s; %s", s.url, dns.Name, mend)
	case errors.As(err, &certificate):
		return exit.Errorf(exit.Unavailable, "%s: its certificate is not trusted: %w", s.url, certificate.Err)
	case netErr != nil && netErr.Timeout():
		return exit.Errorf(exit.Unavailable, "%s does not respond in time; %s", s.url, mend)
	}
	return exit.Errorf(exit.Unavailable, "%s: %s; %s", s.url, terminal.Printable(err.Error()), mend)
}
