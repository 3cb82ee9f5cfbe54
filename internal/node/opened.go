package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/longjson"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/protocol"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/store"
)

// Opened is a job as the API shows it. What is long of it is not in Job, where something
// short stands in for it. It must be closed.
type Opened struct {
	ringback.Job

	stored  store.Job
	left    map[store.Parts]int64 // what is long of it, with its size in the store
	long    map[string]longjson.Value
	answer  json.RawMessage // if it is long
	partial []byte          // if it is long
	close   []func()
}

// Long are the values of the members of Job for which something stands in; none of most
// jobs.
func (o *Opened) Long() map[string]longjson.Value { return o.long }

// Close gives the memory of what is long back.
func (o *Opened) Close() {
	for _, release := range o.close {
		release()
	}
	o.close = nil
}

// OpenJob gives a job with its answer, and with the provider's request if that is wanted.
// Errors: not found; gone, when its content is deleted; unavailable, when there is no
// memory for it now.
func (n *Node) OpenJob(ctx context.Context, project, id string, includeRequest bool) (*Opened, error) {
	o, err := n.look(ctx, project, id, includeRequest)
	if err != nil {
		return nil, err
	}
	return n.opened(ctx, o, n.orRefuse)
}

// opened opens what is long of a job that was looked at.
func (n *Node) opened(ctx context.Context, o *Opened, taking func(*memory.Grant) func(bytes int64) error) (*Opened, error) {
	for part, packed := range o.left {
		p, release, err := n.openPart(ctx, &o.stored, part, packed, taking)
		if errors.Is(err, store.ErrGone) { // meanwhile
			o.Close()
			j, _, again := n.store.Job(ctx, o.stored.Project, o.stored.ID, 0)
			if errors.Is(again, store.ErrGone) {
				return nil, refusal.Gone(o.ID, j, n.cfg.Retention.Rows)
			}
			return nil, errors.Join(err, again)
		}
		if err != nil {
			o.Close()
			return nil, err
		}
		o.close = append(o.close, release)
		o.put(part, p)
	}
	return o, nil
}

// put puts a long part beside the job.
func (o *Opened) put(part store.Parts, p *openPart) {
	if o.long == nil {
		o.long = map[string]longjson.Value{}
	}
	maps.Copy(o.long, p.long)
	switch part {
	case store.PartPartial:
		o.partial = p.text
	case store.PartAnswer:
		o.answer = p.text
	}
}

// size is how many bytes of text are long.
func (o *Opened) size() int64 { return int64(len(o.answer) + len(o.partial)) }

// putText puts the text of an answer that is long into a job, in place of what stands in
// for it.
func (o *Opened) putText(j *ringback.Job) error {
	if o.partial != nil {
		j.PartialResult = string(o.partial)
	}
	if o.answer == nil {
		return nil
	}
	text, err := protocol.Text(o.stored.Protocol, o.answer)
	j.Result = &text
	return err
}

// look reads a job, less what is long of it.
func (n *Node) look(ctx context.Context, project, id string, includeRequest bool) (*Opened, error) {
	job, err := refusal.JobID(id)
	if err != nil {
		return nil, err
	}
	parts := store.PartAnswer | store.PartPartial | store.PartWebhook | store.LeaveLarge
	if includeRequest {
		parts |= store.PartRequest
	}
	j, c, err := n.store.Job(ctx, project, job, parts)
	if errors.Is(err, store.ErrGone) {
		return nil, refusal.Gone(id, j, n.cfg.Retention.Rows)
	}
	if err != nil {
		return nil, refusal.OfJob(id, err)
	}
	o := &Opened{Job: n.view(&j), stored: j, left: c.Left}
	o.StreamURL = n.tokens.StreamURL(o.ID)
	o.Webhook = viewWebhook(c.Webhook)
	if includeRequest {
		o.ProviderHeaders = j.Options.ProviderHeaders
	}
	return o, o.show(c)
}

// standIn is a value that JSON has in place of a long one.
const standIn = "0"

// show puts the content that was read into the job.
func (o *Opened) show(c store.Content) error {
	o.Request, o.PartialResult = c.Request, string(c.Partial)
	if o.left[store.PartRequest] > 0 {
		o.Request = json.RawMessage(standIn)
	}
	if o.left[store.PartPartial] > 0 {
		o.PartialResult = standIn
	}
	if o.Status != ringback.Completed {
		delete(o.left, store.PartAnswer)
		return nil
	}
	delete(o.left, store.PartPartial)
	text, message := "", c.Answer
	if o.left[store.PartAnswer] > 0 {
		message = json.RawMessage(standIn)
	} else {
		var err error
		if text, err = protocol.Text(o.stored.Protocol, c.Answer); err != nil {
			return fmt.Errorf("read the answer of job %s: %w", o.ID, err)
		}
	}
	o.Result, o.Response, o.PartialResult = &text, message, ""
	return nil
}
