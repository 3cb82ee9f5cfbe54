package main

import (
	"cmp"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/config"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/listen"
	"github.com/ringback/ringback/internal/terminal"
)

func newListen() *cobra.Command {
	var c listen.Config
	var secrets string
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
			config.HelpTitle: "    WEBHOOK_SECRET   the secret to verify with; goes after --secret\n    NO_COLOR         no colours",
			exit.HelpTitle:   exit.HelpText(exit.Local()),
		},
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := config.SetAddr(&c.Addr, c.Addr); err != nil {
				return exit.Errorf(exit.Usage, "--addr: %w", err)
			}
			c.Out, c.Talk = cmd.OutOrStdout(), cmd.ErrOrStderr()
			server, err := listen.New(c)
			if err != nil {
				return err
			}
			verify, err := listenSecrets(cmp.Or(secrets, os.Getenv("WEBHOOK_SECRET")))
			if err != nil {
				return err
			}
			return server.Run(cmd.Context(), verify)
		},
	}
	cmd.Flags().StringVar(&c.Addr, "addr", "127.0.0.1:9099", "`ADDRESS` listen here; port 0 picks a free one")
	cmd.Flags().StringVar(&secrets, "secret", "", "`SECRET` verify with this, or several separated by commas; others can see it with ps, so prefer WEBHOOK_SECRET")
	cmd.Flags().StringVar(&c.Respond, "respond", "", "`CODES` respond with these in turn, such as 500,500,200; the last one repeats")
	cmd.Flags().StringVar(&c.ForwardTo, "forward-to", "", "`URL` forward what verifies to this URL")
	cmd.Flags().StringSliceVar(&c.Events, "events", nil, "`TYPES` show only these, such as job.completed,job.failed; others get a 200")
	cmd.Flags().BoolVar(&c.JSON, "json", false, "print one JSON object per line")
	terminal.CompleteWords(cmd, map[string][]string{"events": listen.Events()})
	return cmd
}

// listenSecrets parses the secrets that the user gave. If there are none, it reads the
// secret of the last run, or makes and stores one.
func listenSecrets(given string) ([]ringback.Secret, error) {
	if given != "" {
		secrets, err := ringback.ParseSecrets(given)
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
