package remote

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

// completionTime is how long completion waits for the server.
const completionTime = time.Second

// CompleteIDs lets the shell complete the ids that list returns. It completes nothing if the
// server does not respond in time.
func CompleteIDs(list func(context.Context, *Session) ([]cobra.Completion, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		s, err := newSession(cmd)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), completionTime)
		defer cancel()
		ids, err := list(ctx, s)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp // a prompt is no place for an error
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}
