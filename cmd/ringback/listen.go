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
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback"
)

// listenConfig is what listen was told.
type listenConfig struct {
	addr   string
	secret string // "": the kept one
	json   bool
}

func newListen() *cobra.Command {
	var c listenConfig
	cmd := &cobra.Command{
		Use:   "listen [FLAGS]",
		Short: "Receive webhooks, verify and print them: for local work",
		Long: `Receive webhooks on any path, verify both signatures, print each and answer 200;
what does not verify is answered 400, so that Ringback sees it fail. A webhook that
comes again, under the same webhook-id, is said to be a duplicate.

The secret is kept in your configuration directory, so it stays the same when you
start again; WEBHOOK_SECRET or --secret set another. The line that starts a server
with this secret is printed, to be pasted into another terminal. What is received
goes to stdout, all else to stderr.`,
		Example: `  ringback listen
  ringback listen --addr 127.0.0.1:3000
  ringback listen --json | jq .body.result`,
		Annotations: map[string]string{
			titleVariables: "    WEBHOOK_SECRET   the secret to verify with; goes after --secret\n    NO_COLOR         no colours",
			titleExit:      exitCodesText(),
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
	cmd.Flags().StringVar(&c.addr, "addr", "127.0.0.1:9099", "`ADDRESS` to listen on; with port 0, a free one")
	cmd.Flags().StringVar(&c.secret, "secret", "", "`SECRET` to verify with; ps shows it to others: prefer WEBHOOK_SECRET")
	cmd.Flags().BoolVar(&c.json, "json", false, "print one JSON object a line")
	return cmd
}

// listen receives until ctx is done.
func listen(ctx context.Context, c listenConfig, out, talk io.Writer) error {
	if err := setAddr(&c.addr, c.addr); err != nil {
		return fail(exitUsage, "--addr: %w", err)
	}
	secret, err := listenSecret(c)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", c.addr)
	if err != nil {
		return explainListen(err, c.addr, "")
	}
	server := &http.Server{
		Handler:           newReceiver(secret, newPrinter(out, c.json)),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      2 * time.Minute,
	}
	fmt.Fprint(talk, listenGreeting(l.Addr(), secret))
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

// listenSecret is the secret that was given, or the one that is kept.
func listenSecret(c listenConfig) (ringback.Secret, error) {
	if c.secret != "" {
		s, err := ringback.ParseSecret(c.secret)
		if err != nil {
			return s, fail(exitUsage, "--secret or WEBHOOK_SECRET: %w", err)
		}
		return s, nil
	}
	dir, err := os.UserConfigDir()
	if err == nil {
		dir = filepath.Join(dir, "ringback")
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return ringback.Secret{}, fail(exitFailure, "there is no place to keep the secret in (%w); set WEBHOOK_SECRET", err)
	}
	s, _, err := keepSecret(filepath.Join(dir, "listen-secret"))
	if err != nil {
		return s, fail(exitFailure, "%w; or set WEBHOOK_SECRET", err)
	}
	return s, nil
}

// listenGreeting says what to paste.
func listenGreeting(addr net.Addr, secret ringback.Secret) string {
	url := urlOf(addr)
	return fmt.Sprintf(`listening on %s · verifies both signatures, prints what comes, answers 200

The server, in another terminal:
  WEBHOOK_SECRET=%s ringback serve --simulate --allow-callback %s

A job for it:
  curl http://127.0.0.1:8080/api/generate -H 'Content-Type: application/json' \
    -d '{"prompt":"Hello","model":"sim/slow","callback_url":"%s/"}'

With a provider's key in the server's environment, leave out --simulate and the model.

`, url, shellQuote(secret.Reveal()), callbackRange(addr), url)
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

// plainInShell are the characters that mean nothing to a shell.
const plainInShell = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+/=."

// shellQuote makes one word of s for a shell.
func shellQuote(s string) string {
	if s != "" && strings.Trim(s, plainInShell) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
