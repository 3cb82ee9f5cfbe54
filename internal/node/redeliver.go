package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// Redeliver makes the webhook of a job's end due once more, outside its
// schedule: the same id, the same bytes.
func (n *Node) Redeliver(ctx context.Context, project, id string) (ringback.Delivery, error) {
	job, err := parseID(id)
	if err != nil {
		return ringback.Delivery{}, err
	}
	deliveries, _, err := n.store.JobDeliveries(ctx, project, job)
	if err != nil {
		return ringback.Delivery{}, userError(id, err)
	}
	if len(deliveries) == 0 {
		return ringback.Delivery{}, &ringback.Error{Code: ringback.Conflict, Message: fmt.Sprintf("job %s has no webhook to send: it has not ended, or wanted none", id)}
	}
	last := deliveries[len(deliveries)-1]
	if err := n.store.Redeliver(ctx, project, last.ID, n.stamped()); err != nil {
		return ringback.Delivery{}, n.redeliverError(id, err)
	}
	n.log.Debug("webhook is sent once more", "delivery_id", last.ID, "job_id", job)
	poke(n.wakeDeliveries)
	return n.delivery(ctx, project, id, last)
}

// delivery reads a delivery as it stands now.
func (n *Node) delivery(ctx context.Context, project, id string, d store.Delivery) (ringback.Delivery, error) {
	deliveries, tries, err := n.store.JobDeliveries(ctx, project, d.JobID)
	if err != nil {
		return ringback.Delivery{}, userError(id, err)
	}
	for i := range deliveries {
		if deliveries[i].ID == d.ID {
			return viewDelivery(&deliveries[i], tries[i]), nil
		}
	}
	return ringback.Delivery{}, noSuchJob(id)
}

func (n *Node) redeliverError(id string, err error) error {
	switch {
	case errors.Is(err, store.ErrInFlight):
		return &ringback.Error{Code: ringback.Conflict, Message: fmt.Sprintf("the webhook of job %s is being sent at this moment", id)}
	case errors.Is(err, store.ErrGone):
		return &ringback.Error{Code: ringback.Gone, Message: fmt.Sprintf("the webhook of job %s was deleted", id)}
	}
	return n.submitError(userError(id, err))
}
