package api

import (
	"bytes"
	"context"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/reading"
	"github.com/ringback/ringback/internal/strictjson"
)

// deadLetters serves what is dead, jobs and webhooks.
type deadLetters struct{ node *node.Node }

// GET /api/dead
func (h deadLetters) list(ctx context.Context, c *call) (reply, error) {
	p, err := deadPage(c.query)
	if err != nil {
		return reply{}, err
	}
	if p.Filter.Kind == ringback.DeadDelivery {
		page, err := h.node.DeadDeliveries(ctx, c.caller.Project, p)
		return pageReply(page), err
	}
	page, err := h.node.DeadJobs(ctx, c.caller.Project, p)
	return pageReply(page), err
}

func deadPage(q query) (p reading.DeadPage, err error) {
	p.Cursor = q.text("cursor")
	if p.Limit, err = q.limit(); err != nil {
		return p, err
	}
	f := &p.Filter
	f.Model, f.Provider, f.Host, f.Metadata = q.text("model"), q.text("provider"), q.text("host"), q.metadata()
	if f.Kind, err = oneOf(q, "kind", []ringback.DeadKind{ringback.DeadJob, ringback.DeadDelivery}); err != nil {
		return p, err
	}
	if f.Code, err = oneOf(q, "code", ringback.ErrorDetailCodes); err != nil {
		return p, err
	}
	for name, into := range map[string]**ringback.Time{
		"created_after": &f.CreatedAfter, "created_before": &f.CreatedBefore, "ended_after": &f.EndedAfter, "ended_before": &f.EndedBefore,
	} {
		at, err := q.time(name)
		if err != nil {
			return p, err
		}
		if !at.IsZero() {
			*into = &ringback.Time{Time: at}
		}
	}
	return p, nil
}

// POST /api/dead/replay
func (h deadLetters) replay(ctx context.Context, c *call, a *ringback.DeadAction) (reply, error) {
	patch, err := decodePatch(a.Patch)
	if err != nil {
		return reply{}, strictjson.Within("patch", err)
	}
	done, err := h.node.ReplayDead(ctx, c.caller.Project, *a, *patch)
	return reply{body: done}, err
}

// DELETE /api/dead
func (h deadLetters) purge(ctx context.Context, c *call, a *ringback.DeadAction) (reply, error) {
	if a.Patch != nil {
		return reply{}, ringback.Invalid("patch", "patch is for replays; leave it out")
	}
	done, err := h.node.PurgeDead(ctx, c.caller.Project, *a)
	return reply{body: done}, err
}

func readDeadAction(a *ringback.DeadAction, name string, v strictjson.Value) error {
	switch name {
	case "kind":
		return strictjson.ReadString(v, &a.Kind)
	case "model":
		return strictjson.ReadString(v, &a.Model)
	case "provider":
		return strictjson.ReadString(v, &a.Provider)
	case "code":
		return strictjson.ReadString(v, &a.Code)
	case "metadata":
		return texts(v, &a.Metadata, maxFilters)
	case "host":
		return strictjson.ReadString(v, &a.Host)
	case "created_after":
		return moment(v, &a.CreatedAfter)
	case "created_before":
		return moment(v, &a.CreatedBefore)
	case "ended_after":
		return moment(v, &a.EndedAfter)
	case "ended_before":
		return moment(v, &a.EndedBefore)
	case "all":
		return truth(v, &a.All)
	case "patch":
		return strictjson.ReadRaw(v, &a.Patch, strictjson.TypeObject)
	case "limit":
		return strictjson.ReadInt(v, &a.Limit)
	case "cursor":
		return strictjson.ReadString(v, &a.Cursor)
	default:
		return strictjson.ErrUnknownField
	}
}

// truth reads true or false.
func truth(v strictjson.Value, into *bool) error {
	if v.IsNull() {
		return nil
	}
	if v.Type() != strictjson.TypeBoolean {
		return v.NotA("true or false")
	}
	*into = bytes.Equal(v, []byte("true"))
	return nil
}
