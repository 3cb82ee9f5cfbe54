// Package remote has what all commands that talk to a running server share.
//
//	remote.go    a session with the server, and the flags that select the server
//	errors.go    what an error of a call means for the user
//	each.go      one command for several ids
//	confirm.go   questions before what cannot be undone
//	list.go      how much of a list to print, page by page
//	flags.go     values of flags that several commands have
//	complete.go  ids that the shell completes
package remote

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/config"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
	"github.com/ringback/ringback/internal/terminal"
)

// Session is one run of a command that talks to a server.
type Session struct {
	*client.Client
	terminal.Output

	In     io.Reader // stdin
	url    string    // of the server
	hasKey bool      // it sends a key
	again  string    // flags that a command shown to the user needs to reach the same server
}

// Command makes cmd a command that talks to a server. It adds the flags that all of these have,
// and turns errors of run into a sentence and an exit code.
func Command(cmd *cobra.Command, run func(ctx context.Context, s *Session, args []string) error) *cobra.Command {
	cmd.DisableFlagsInUseLine = true
	cmd.Annotations = map[string]string{config.HelpTitle: remoteVariables(), exit.HelpTitle: exit.HelpText(exit.Remote())}
	terminal.AddOutputFlags(cmd.Flags())
	config.AddFlags(cmd.Flags(), "url", "config")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := newSession(cmd)
		if err != nil {
			return err
		}
		return s.Explain(cmd.Context(), run(cmd.Context(), s, args))
	}
	return cmd
}

// Group makes cmd a command that only has subcommands.
func Group(cmd *cobra.Command, below ...*cobra.Command) *cobra.Command {
	cmd.Args = cobra.NoArgs
	cmd.DisableFlagsInUseLine = true
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.AddCommand(below...)
	return cmd
}

// IDs checks that there are at least least and at most most ids. most 0: any number.
func IDs(least, most int, what, list string) cobra.PositionalArgs {
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

func newSession(cmd *cobra.Command) (*Session, error) {
	c, err := config.LoadRemote(cmd.Flags(), os.Environ())
	if err != nil {
		return nil, err
	}
	s := &Session{Output: terminal.OutputOf(cmd), url: c.URL, hasKey: c.APIKey != "", In: cmd.InOrStdin()}
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

// CommandLine returns a command line of this program for the user to run. It reaches the same server.
func (s *Session) CommandLine(format string, args ...any) string {
	return "ringback " + fmt.Sprintf(format, args...) + s.again
}
