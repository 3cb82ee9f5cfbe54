package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback/internal/config"
	"github.com/ringback/ringback/internal/demo"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/terminal"
)

func newDemo() *cobra.Command {
	var addr string
	cmd := &cobra.Command{
		Use:   "demo [--addr HOST:PORT]",
		Short: "Watch a job survive kill -9; needs no key and no network",
		Long: `Watch a job survive kill -9. The server is the real one, a separate process with a real
data directory; the model and the receiver are simulated. The server is killed in the
middle of an answer and started again, the receiver fails once, and the answer still
arrives, once. At the end the demo checks everything that it printed.

If stdout is not a terminal, the demo then exits, with 0 only if every check passed. On
a terminal it stays up until Ctrl-C, so you can try it out. It uses ports 8080 and 9099,
or free ones if those are taken, and removes its directory. --addr sets another address
for the server. Keys in the environment are not used.`,
		Example: `  ringback demo
  ringback demo --addr 127.0.0.1:8090
  ringback demo | cat      the story alone`,
		Annotations: map[string]string{
			config.HelpTitle: "    NO_COLOR   no colours",
			exit.HelpTitle:   "  0  all of the story held\n  1  something did not: the last lines say what",
		},
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			program, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			if addr != "" {
				if err := config.SetAddr(&addr, addr); err != nil {
					return exit.Errorf(exit.Usage, "--addr: %w", err)
				}
			}
			return demo.Run(cmd.Context(), demo.Config{
				Program: program, Environ: environWithoutSettings(), Up: msgUp, Addr: addr,
				Out: cmd.OutOrStdout(), Terminal: terminal.Of(cmd.OutOrStdout()),
			})
		},
	}
	cmd.Flags().StringVar(&addr, "addr", "", "`HOST:PORT` serve here, or fail; unset: 127.0.0.1:8080, or a free port if that is taken")
	return cmd
}

// environWithoutSettings returns the environment without the variables that configure a
// server.
func environWithoutSettings() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		for _, prefix := range []string{"RINGBACK_", "EZAI_", "ANTHROPIC_", "OPENAI_"} {
			if strings.HasPrefix(name, prefix) {
				return true
			}
		}
		return slices.ContainsFunc(config.Settings, func(s config.Setting) bool { return s.Variable == name })
	})
}
