package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/address"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/terminal"
)

// listenConfig is what listen was told.
type listenConfig struct {
	addr   string
	secret string // "": the kept one
	json   bool

	respond   string // codes, separated by commas; "": 200
	forwardTo string // a URL; "": nowhere
	events    []string
}

func newListen() *cobra.Command {
	var c listenConfig
	cmd := &cobra.Command{
		Use:   "listen [FLAGS]",
		Short: "Receive, verify and print webhooks, for local development",
		Long: `Receive webhooks on any path, verify both signatures, print each webhook and respond with
200. What does not verify gets a 400, so that Ringback sees the failure. A webhook that
arrives again under the same webhook-id is marked as a duplicate.

--respond responds to verified webhooks with other codes in turn, and then repeats the
last one. --forward-to forwards the same bytes and headers, and responds with what that
receiver returns, or with 502 if it does not respond. With both, your receiver gets every
webhook while Ringback gets the codes, so you can see how your receiver handles duplicates.

The secret is kept in your configuration directory, so it is the same the next time.
WEBHOOK_SECRET or --secret sets another one, or several separated by commas: a webhook has
to verify with one of them. While the server replaces its secret (it signs with NEW,OLD),
a receiver with only the old one can verify only webhook-signature. The command prints how
to start a server with this secret, for you to paste into another terminal. Webhooks go to
stdout, everything else to stderr.`,
		Example: `  ringback listen
  ringback listen --addr 127.0.0.1:3000
  ringback listen --json | jq .body.result
  ringback listen --respond 500,500,200
  ringback listen --forward-to http://127.0.0.1:3000/hook --events job.completed,job.failed`,
		Annotations: map[string]string{
			titleVariables: "    WEBHOOK_SECRET   the secret to verify with; goes after --secret\n    NO_COLOR         no colours",
			exit.HelpTitle: exit.HelpText(exit.Local()),
		},
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.secret == "" {
				c.secret = os.Getenv("WEBHOOK_SECRET")
			}
			return listen(cmd.Context(), c, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&c.addr, "addr", "127.0.0.1:9099", "`ADDRESS` listen here; port 0 picks a free one")
	cmd.Flags().StringVar(&c.secret, "secret", "", "`SECRET` verify with this, or several separated by commas; others can see it with ps, so prefer WEBHOOK_SECRET")
	cmd.Flags().StringVar(&c.respond, "respond", "", "`CODES` respond with these in turn, such as 500,500,200; the last one repeats")
	cmd.Flags().StringVar(&c.forwardTo, "forward-to", "", "`URL` forward what verifies to this URL")
	cmd.Flags().StringSliceVar(&c.events, "events", nil, "`TYPES` show only these, such as job.completed,job.failed; others get a 200")
	cmd.Flags().BoolVar(&c.json, "json", false, "print one JSON object per line")
	completeWords(cmd, map[string][]string{"events": eventWords()})
	return cmd
}

// listen receives until ctx is done.
func listen(ctx context.Context, c listenConfig, out, talk io.Writer) error {
	if err := setAddr(&c.addr, c.addr); err != nil {
		return exit.Errorf(exit.Usage, "--addr: %w", err)
	}
	receiver, err := c.receiver(out)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", c.addr)
	if err != nil {
		return address.Explain(err, c.addr)
	}
	server := &http.Server{
		Handler:           receiver,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      2 * time.Minute,
	}
	fmt.Fprint(talk, c.greeting(l.Addr(), receiver.secrets))
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

// receiver makes the receiver that was asked for.
func (c listenConfig) receiver(out io.Writer) (*receiver, error) {
	answers, err := parseAnswers(c.respond)
	if err != nil {
		return nil, exit.Errorf(exit.Usage, "--respond: %w", err)
	}
	forward, err := newForwarder(c.forwardTo)
	if err != nil {
		return nil, exit.Errorf(exit.Usage, "--forward-to: %w", err)
	}
	for _, event := range c.events {
		if !slices.Contains(eventWords(), event) {
			return nil, exit.Errorf(exit.Usage, "--events: %q is not one of %s", event, strings.Join(eventWords(), ", "))
		}
	}
	secrets, err := listenSecrets(c)
	if err != nil {
		return nil, err
	}
	r := newReceiver(secrets, newPrinter(out, c.json))
	r.answers, r.forward, r.events = answers, forward, c.events
	return r, nil
}

func eventWords() []string {
	var words []string
	for _, event := range ringback.TerminalEvents {
		words = append(words, string(event))
	}
	return words
}

// listenSecrets are those that were given, or the one that is kept.
func listenSecrets(c listenConfig) ([]ringback.Secret, error) {
	if c.secret != "" {
		secrets, err := ringback.ParseSecrets(c.secret)
		if err != nil {
			return nil, exit.Errorf(exit.Usage, "--secret or WEBHOOK_SECRET: %w", err)
		}
		return secrets, nil
	}
	dir, err := os.UserConfigDir()
	if err == nil {
		dir = filepath.Join(dir, "ringback")
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return nil, exit.Errorf(exit.Failure, "the secret cannot be stored (%w); set WEBHOOK_SECRET", err)
	}
	secrets, err := keepSecrets(filepath.Join(dir, "listen-secret"))
	if err != nil {
		return nil, exit.Errorf(exit.Failure, "%w", err)
	}
	return secrets, nil
}

// greeting says what happens, and what to paste.
func (c listenConfig) greeting(addr net.Addr, secrets []ringback.Secret) string {
	var list []string
	for _, s := range secrets {
		list = append(list, s.Reveal())
	}
	url, answer := address.URL(addr), "answers 200"
	switch {
	case c.forwardTo != "" && c.respond != "":
		answer = "forwards it to " + c.forwardTo + ", answers " + c.respond
	case c.forwardTo != "":
		answer = "forwards it to " + c.forwardTo
	case c.respond != "":
		answer = "answers " + c.respond
	}
	return fmt.Sprintf(`listening on %s · verifies both signatures, prints every webhook, %s

The server, in another terminal:
  WEBHOOK_SECRET=%s ringback serve --simulate --allow-callback %s

A job for it:
  curl http://127.0.0.1:8080/api/generate -H 'Content-Type: application/json' \
    -d '{"prompt":"Hello","model":"sim/slow","callback_url":"%s/"}'

With a provider's key in the server's environment, leave out --simulate and the model.

`, url, answer, terminal.ShellQuote(strings.Join(list, ",")), callbackRange(addr), url)
}

// callbackRange is what a server has to allow to reach addr.
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
