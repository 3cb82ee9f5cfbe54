// Command ringback is a durable asynchronous gateway for LLM APIs.
//
//	main.go       the commands, and how an error ends the program: a sentence and a code
//	help.go       the form of --help
//	serve.go      ringback serve: opens all parts in order, stops them in reverse
//	open.go       opens the store: a data directory, or a database
//	startup.go    the errors of a start, in one sentence each
//	secretfile.go a secret in a file; secret.go  ringback secret
//	memory.go     how much memory there is
//	listen.go     ringback listen, which is internal/listen
//	migrate.go    ringback migrate
//	demo.go       ringback demo, which is internal/demo
//	version.go    ringback version
//
// The commands that talk to a running server (submit, jobs, deliveries, dead, nodes) are in
// internal/cli. The settings, and how flags, environment and file are read, are in
// internal/config, the exit codes in internal/exit. Tables, JSON and progress are printed by
// internal/terminal.
//
// Only this package, internal/cli and internal/config read flags, environment variables and
// the configuration file. Data goes to stdout, everything else to stderr.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback/internal/cli"
	"github.com/ringback/ringback/internal/exit"
)

// sameSignal is the time within which a second signal counts as the first.
const sameSignal = 500 * time.Millisecond

func main() { os.Exit(run()) }

// run runs the command line and returns the exit code.
func run() int {
	// The first signal requests an orderly end; then the signals have their default effect
	// again, so that a second one ends the process at once. But not immediately: timeout(1)
	// and others send one to the process and one to its group.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() { time.AfterFunc(sameSignal, stop) })
	defer stop()

	ran := false
	root := newRoot(&ran)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exit.OK
	}
	f, ok := errors.AsType[*exit.Error](err)
	switch {
	case ok:
	case ran:
		f = &exit.Error{Code: exit.Failure, Err: err}
	default: // cobra's own errors: an unknown command, an argument too many
		f = &exit.Error{Code: exit.Usage, Err: fmt.Errorf("%w\nSee: %s --help", trimmed(err), cmd.CommandPath())}
	}
	fmt.Fprintf(os.Stderr, "ringback: %v\n", f)
	return f.Code
}

// trimmed returns an error without the empty lines at its end.
func trimmed(err error) error { return errors.New(strings.TrimSpace(err.Error())) }

// newRoot makes the command line. It sets ran when a command has been found and begins.
func newRoot(ran *bool) *cobra.Command {
	root := &cobra.Command{
		Use:   "ringback COMMAND",
		Short: "Accept LLM requests now, deliver the answers by webhook",
		Long: `Ringback is a durable asynchronous gateway for LLM APIs. A client POSTs a request
with a callback URL and gets a 202 within milliseconds. A worker calls the provider,
and the answer is delivered by signed webhook, even if the client, the worker or the
receiver dies in between.`,
		Example: `  ringback demo                                watch a job survive kill -9; needs no key
  EZAI_API_KEY=… ringback serve                listen on 127.0.0.1:8080
  ringback serve --simulate                    the same with simulated models, for your tests
  ringback submit --wait "What is a webhook?"  a job from the shell
  ringback jobs show JOB                       why it has not arrived, and what to do
  ringback listen                              a receiver for local work`,
		Version:       buildVersion().Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			*ran = true
			if plain, _ := cmd.Flags().GetBool("no-color"); plain {
				return os.Setenv("NO_COLOR", "1") // for this program and those that it starts
			}
			return nil
		},
	}
	root.AddCommand(newServe(), newDemo(), newListen(), newMigrate(), newSecret(), newVersion())
	root.AddCommand(cli.Commands()...)
	root.PersistentFlags().Bool("no-color", false, "no colours, like NO_COLOR in the environment")
	setHelp(root)
	root.SetFlagErrorFunc(flagError)
	return root
}
