package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback"
)

func newSecret() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "secret [--data DIR] [--config FILE] [--json]",
		Short: "Print the secret that webhooks are signed with",
		Long: `Print the secret that serve signs webhooks with, for your receiver: WEBHOOK_SECRET,
or webhook_secret of the file, or the one that serve made and keeps in the data
directory. The server may run meanwhile. With --database-url serve makes none: all
nodes need the same WEBHOOK_SECRET.

X-Webhook-Signature is keyed with the secret as it is printed. The libraries of
Standard Webhooks take its whsec_ form: the same, if it begins with whsec_; of a
plain secret that form is said on stderr, and stands in --json.`,
		Example: `  WEBHOOK_SECRET=$(ringback secret) node receiver.js
  ringback secret --data /var/lib/ringback
  ringback secret --json`,
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadOnly(cmd.Flags(), os.Environ(), "data", "webhook_secret")
			if err != nil {
				return err
			}
			return printSecret(c, asJSON, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	addFlags(cmd.Flags(), "config", "data")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object: secret, whsec, and where it comes from")
	return cmd
}

func printSecret(c config, asJSON bool, out, talk io.Writer) error {
	s, origin, err := knownSecret(c)
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(out).Encode(struct { //nolint:gosec // to print it is what this command is for
			Secret string `json:"secret"`
			Whsec  string `json:"whsec"`
			Origin string `json:"origin"`
		}{s.Reveal(), s.Whsec(), origin})
	}
	if _, err := fmt.Fprintln(out, s.Reveal()); err != nil {
		return err
	}
	if s.Whsec() != s.Reveal() {
		_, err = fmt.Fprintln(talk, "for libraries of Standard Webhooks:", s.Whsec())
	}
	return err
}

// knownSecret is the secret that serve would use, and where it comes from. It
// makes none.
func knownSecret(c config) (ringback.Secret, string, error) {
	if !c.secret.IsZero() {
		return c.secret, "configuration", nil
	}
	file := filepath.Join(c.data, secretFile)
	s, err := readSecret(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, "", fail(exitFailure, "there is no secret yet: %s does not exist; ringback serve makes it at its first start, "+
			"--data names another directory, and WEBHOOK_SECRET sets a secret of your own", file)
	case err != nil:
		return s, "", &failure{exitDataDir, err}
	}
	return s, file, nil
}
