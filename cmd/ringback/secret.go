package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/config"
	"github.com/ringback/ringback/internal/exit"
)

func newSecret() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "secret [--data DIR] [--config FILE] [--json]",
		Short: "Print the secret that webhooks are signed with",
		Long: `Print the secret that serve signs webhooks with, for your receiver: WEBHOOK_SECRET, or
webhook_secret in the file, or the one that serve generated and keeps in the data
directory. The server may be running. With --database-url serve generates none: all
nodes need the same WEBHOOK_SECRET.

X-Webhook-Signature uses the secret as it is printed. The Standard Webhooks libraries take
its whsec_ form, which is the same if the secret begins with whsec_. For a plain secret
that form is printed on stderr and included in --json.

While you replace a secret (WEBHOOK_SECRET=NEW,OLD), the new one is printed, which
verifies both headers, and the older ones go to stderr. The steps are in
docs/webhooks.md, under "Replacing the secret".`,
		Example: `  WEBHOOK_SECRET=$(ringback secret) node receiver.js
  ringback secret --data /var/lib/ringback
  ringback secret --json`,
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.LoadOnly(cmd.Flags(), os.Environ(), "data", "webhook_secret")
			if err != nil {
				return err
			}
			return printSecret(c, asJSON, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	config.AddFlags(cmd.Flags(), "config", "data")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object: secret, whsec, older ones, and their source")
	return cmd
}

// secretJSON is a secret as --json prints it.
type secretJSON struct {
	Secret string `json:"secret"`
	Whsec  string `json:"whsec"`
}

func revealed(s ringback.Secret) secretJSON { return secretJSON{s.Reveal(), s.Whsec()} }

// printSecret prints only the newest secret on out, so that a script can use it.
func printSecret(c config.Config, asJSON bool, out, talk io.Writer) error {
	secrets, origin, err := knownSecrets(c)
	if err != nil {
		return err
	}
	newest, older := secrets[0], secrets[1:]
	if asJSON {
		object := struct {
			secretJSON

			Older  []secretJSON `json:"older,omitempty"`
			Origin string       `json:"origin"`
		}{secretJSON: revealed(newest), Origin: origin}
		for _, s := range older {
			object.Older = append(object.Older, revealed(s))
		}
		return json.NewEncoder(out).Encode(object) //nolint:gosec // printing it is the purpose of this command
	}
	if _, err := fmt.Fprintln(out, newest.Reveal()); err != nil {
		return err
	}
	var b strings.Builder
	if newest.Whsec() != newest.Reveal() {
		fmt.Fprintln(&b, "for libraries of Standard Webhooks:", newest.Whsec())
	}
	for _, s := range older {
		fmt.Fprintln(&b, "the server signs webhook-signature with this older one too:", s.Reveal())
	}
	_, err = io.WriteString(talk, b.String())
	return err
}

// knownSecrets returns the secrets that serve would use, and where they come from. It makes
// none.
func knownSecrets(c config.Config) ([]ringback.Secret, string, error) {
	if len(c.Secrets) > 0 {
		return c.Secrets, "configuration", nil
	}
	file := filepath.Join(c.Data, secretFile)
	secrets, err := readSecrets(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, "", exit.Errorf(exit.Failure, "there is no secret yet: %s does not exist; ringback serve makes it at its first start, "+
			"--data names another directory, and WEBHOOK_SECRET sets a secret of your own", file)
	case err != nil:
		return nil, "", exit.Errorf(exit.DataDir, "%w", err)
	}
	return secrets, file, nil
}
