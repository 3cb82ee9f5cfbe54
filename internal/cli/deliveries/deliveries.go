// Package deliveries has the commands of "ringback deliveries".
//
//	deliveries.go  deliveries show
//	list.go        deliveries list
package deliveries

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/cli/jobs"
	"github.com/ringback/ringback/internal/cli/remote"
	"github.com/ringback/ringback/internal/plain"
)

// New makes ringback deliveries.
func New() *cobra.Command {
	return remote.Group(&cobra.Command{
		Use:   "deliveries COMMAND",
		Short: "List webhooks: which have not arrived, and why",
		Long: `List the webhooks (deliveries) of all jobs: which have not arrived, what their receivers
responded, and when the next try is.`,
		Example: `  ringback deliveries list --status pending
  ringback deliveries list --status pending --host https://example.com --older-than 10m
  ringback jobs redeliver 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d`,
	}, newList(), newShow())
}

func newShow() *cobra.Command {
	return remote.Command(&cobra.Command{
		Use:   "show ID [FLAGS]",
		Short: "Show a webhook: its job with all attempts and tries",
		Long: `Show the job of a webhook, as "ringback jobs show" does: why it has not arrived, what its
receiver responded to each try, and what to do. ID is the id of a delivery (the webhook-id
that the receiver got) or of its job.`,
		Example:           `  ringback deliveries show 0193c1a7-5e6f-7a8b-a1b2-c3d4e5f60718`,
		Args:              remote.IDs(1, 1, "webhook", "ringback deliveries list"),
		ValidArgsFunction: complete(),
	}, func(ctx context.Context, s *remote.Session, args []string) error {
		d, err := s.Delivery(ctx, args[0])
		if e, ok := errors.AsType[*ringback.Error](err); ok && e.Code == ringback.NotFound {
			d.JobID, err = args[0], nil // or there is no such job either
		}
		if err != nil {
			return err
		}
		return jobs.Show(ctx, s, d.JobID)
	})
}

// complete lets the shell complete the ids of webhooks that have not arrived.
func complete() cobra.CompletionFunc {
	return remote.CompleteIDs(func(ctx context.Context, s *remote.Session) ([]cobra.Completion, error) {
		page, err := s.ListDeliveries(ctx, client.DeliveryQuery{Status: ringback.DeliveryPending, Limit: 50})
		var ids []cobra.Completion
		for _, d := range page.Data {
			ids = append(ids, cobra.CompletionWithDesc(d.ID, string(d.Status)+" to "+plain.HostOf(d.URL)))
		}
		return ids, err
	})
}
