package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/cli/remote"
	"github.com/ringback/ringback/internal/plain"
	"github.com/ringback/ringback/internal/terminal"
)

func newNodes() *cobra.Command {
	return remote.Command(&cobra.Command{
		Use:   "nodes [FLAGS]",
		Short: "List the live servers that share the jobs",
		Long: `List the live nodes, oldest first: the servers that share a database with the one that
responds, or only that one. A node is live as long as its lease, which it renews every
2 s. A node that was killed leaves the list within 8 s, and other nodes run its jobs.`,
		Example: `  ringback nodes
  ringback nodes --url https://ringback.example.com
  ringback nodes --json | jq -r 'select(.roles | index("worker")) | .machine'`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(ctx context.Context, s *remote.Session, _ []string) error {
		nodes, err := s.Nodes(ctx)
		if err != nil {
			return err
		}
		return showNodes(s, nodes)
	})
}

func showNodes(s *remote.Session, nodes []ringback.Node) error {
	t := &terminal.Table{Title: []string{"NODE", "MACHINE", "ROLES", "VERSION", "URL", "SINCE", "LEASE", "ANSWERED"}}
	now := time.Now()
	for _, n := range nodes {
		if !s.JSON {
			t.Row(n.ID, n.Machine, strings.Join(n.Roles, ","), n.Version, n.URL, plain.Span(now.Sub(n.JoinedAt.Time)), leaseWords(n, now), answeredWord(n))
		} else if err := s.PrintJSON(n); err != nil {
			return err
		}
	}
	return t.Flush(s.Out, s.OutTo.Width)
}

// leaseWords returns how long a lease still lasts.
func leaseWords(n ringback.Node, now time.Time) string {
	if n.ExpiresAt.IsZero() {
		return "process" // it lasts as long
	}
	return plain.Span(n.ExpiresAt.Sub(now)) + " left"
}

func answeredWord(n ringback.Node) string {
	if n.Self {
		return "yes"
	}
	return ""
}
