package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback"
)

func NewDeliveries() *cobra.Command {
	return group(&cobra.Command{
		Use:   "deliveries COMMAND",
		Short: "List webhooks: which have not arrived, and why",
		Long: `List the webhooks (deliveries) of all jobs: which have not arrived, what their receivers
responded, and when the next try is.`,
		Example: `  ringback deliveries list --status pending
  ringback deliveries list --status pending --host https://example.com --older-than 10m
  ringback jobs redeliver 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d`,
	}, newDeliveriesList(), newDeliveriesShow())
}

func newDeliveriesShow() *cobra.Command {
	return remote(&cobra.Command{
		Use:   "show ID [FLAGS]",
		Short: "Show a webhook: its job with all attempts and tries",
		Long: `Show the job of a webhook, as "ringback jobs show" does: why it has not arrived, what its
receiver responded to each try, and what to do. ID is the id of a delivery (the webhook-id
that the receiver got) or of its job.`,
		Example:           `  ringback deliveries show 0193c1a7-5e6f-7a8b-a1b2-c3d4e5f60718`,
		Args:              ids(1, 1, "webhook", "ringback deliveries list"),
		ValidArgsFunction: completeDeliveries(),
	}, func(ctx context.Context, s *session, args []string) error {
		d, err := s.Delivery(ctx, args[0])
		if e, ok := errors.AsType[*ringback.Error](err); ok && e.Code == ringback.NotFound {
			d.JobID, err = args[0], nil // or there is no such job either
		}
		if err != nil {
			return err
		}
		return s.show(ctx, d.JobID)
	})
}
