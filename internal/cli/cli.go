// Package cli has the commands that talk to a running server. Each group of commands is a
// package: submit, jobs, deliveries, dead. This one puts them together and has the command
// nodes. What they share is in remote, and answer shows the answer of a job. The sentences
// that explain a job or a webhook are in internal/why.
package cli

import (
	"github.com/spf13/cobra"

	"github.com/ringback/ringback/internal/cli/dead"
	"github.com/ringback/ringback/internal/cli/deliveries"
	"github.com/ringback/ringback/internal/cli/jobs"
	"github.com/ringback/ringback/internal/cli/submit"
)

// Commands makes the commands.
func Commands() []*cobra.Command {
	return []*cobra.Command{submit.New(), jobs.New(), deliveries.New(), dead.New(), newNodes()}
}
