package api

import (
	"context"
	"net/http"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/strictjson"
)

// POST /api/jobs/{id}/redeliver
func (h deliveries) redeliver(ctx context.Context, c *call, r *ringback.Redelivery) (reply, error) {
	delivery, err := h.node.Redeliver(ctx, c.caller.Project, c.id, *r)
	return reply{status: http.StatusAccepted, body: delivery}, err
}

func readRedelivery(r *ringback.Redelivery, name string, v strictjson.Value) error {
	switch name {
	case "url":
		if err := strictjson.ReadString(v, &r.URL); err != nil || r.URL != "" || v.IsNull() {
			return err
		}
		return &strictjson.Error{Message: "is empty; leave it out to send the webhook to its own URL"}
	case "webhook_body":
		return strictjson.ReadString(v, &r.WebhookBody)
	default:
		return strictjson.ErrUnknownField
	}
}
