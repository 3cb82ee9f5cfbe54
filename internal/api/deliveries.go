package api

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/reading"
)

// deliveries serves webhooks and their tries.
type deliveries struct{ node *node.Node }

// GET /api/jobs/{id}/deliveries
func (h deliveries) ofJob(ctx context.Context, c *call) (reply, error) {
	limit, err := c.query.limit()
	if err != nil {
		return reply{}, err
	}
	page, err := h.node.Deliveries(ctx, c.caller.Project, c.id, c.query.text("cursor"), limit)
	return pageReply(page), err
}

// GET /api/deliveries
func (h deliveries) list(ctx context.Context, c *call) (reply, error) {
	q, err := deliveryQuery(c.query)
	if err != nil {
		return reply{}, err
	}
	page, err := h.node.ListDeliveries(ctx, c.caller.Project, q)
	return pageReply(page), err
}

// GET /api/deliveries/{id}
func (h deliveries) one(ctx context.Context, c *call) (reply, error) {
	d, err := h.node.Delivery(ctx, c.caller.Project, c.id)
	return reply{body: d}, err
}

func deliveryQuery(q query) (d reading.DeliveryQuery, err error) {
	d = reading.DeliveryQuery{Host: q.text("host"), Job: q.text("job"), Cursor: q.text("cursor")}
	if d.Limit, err = q.limit(); err != nil {
		return d, err
	}
	if d.Status, err = oneOf(q, "status", ringback.DeliveryStatuses); err != nil {
		return d, err
	}
	if d.LastCode, err = q.statusCode(); err != nil {
		return d, err
	}
	if d.CreatedAfter, err = q.time("created_after"); err != nil {
		return d, err
	}
	if d.CreatedBefore, err = q.time("created_before"); err != nil {
		return d, err
	}
	d.OlderThan, err = q.age("older_than")
	return d, err
}

// statusCode reads ?status_code=503, 5xx or none.
func (q query) statusCode() (*reading.CodeRange, error) {
	text := q.text("status_code")
	switch text {
	case "":
		return nil, nil
	case "none", "0":
		return &reading.CodeRange{}, nil
	}
	low, high := text, text
	if hundreds, ok := strings.CutSuffix(strings.ToLower(text), "xx"); ok {
		low, high = hundreds+"00", hundreds+"99"
	}
	from, errFrom := strconv.Atoi(low)
	to, errTo := strconv.Atoi(high)
	if len(low) != 3 || errFrom != nil || errTo != nil || from < 100 || to > 999 {
		return nil, invalidParameter("status_code", "must be a status code like 503, a class of them like 5xx, or none for no answer")
	}
	return &reading.CodeRange{From: from, To: to}, nil
}

// age reads a duration such as 10m, 36h or 1h30m.
func (q query) age(name string) (time.Duration, error) {
	text := q.text(name)
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, invalidParameter(name, "must be a duration such as 90s, 10m or 36h")
	}
	return d, nil
}
