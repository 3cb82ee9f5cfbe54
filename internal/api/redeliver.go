package api

import (
	"context"
	"net/http"

	"github.com/ringback/ringback"
)

// POST /api/jobs/{id}/redeliver
func (s *Server) redeliver(ctx context.Context, c *call, r *ringback.Redelivery) (reply, error) {
	delivery, err := s.node.Redeliver(ctx, project, c.id, *r)
	return reply{status: http.StatusAccepted, body: delivery}, err
}

func readRedelivery(r *ringback.Redelivery, name string, v value) error {
	switch name {
	case "url":
		if err := text(v, &r.URL); err != nil || r.URL != "" || v.isNull() {
			return err
		}
		return &formError{message: "is empty; leave it out to send the webhook to its own URL"}
	case "webhook_body":
		return text(v, &r.WebhookBody)
	default:
		return errUnknownField
	}
}
