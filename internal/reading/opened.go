package reading

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/longjson"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/protocol"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/store"
)

// Opened is a job as the API shows it. Its long content is not in Job, which has a short
// stand-in. It must be closed.
type Opened struct {
	ringback.Job

	stored  store.Job
	left    map[store.Parts]int64 // its long content, with its size in the store
	long    map[string]longjson.Value
	answer  json.RawMessage // if it is long
	partial []byte          // if it is long
	close   []func()
}

// Long returns the long values of members of Job; most jobs have none.
func (o *Opened) Long() map[string]longjson.Value { return o.long }

// Close releases the memory of the long content.
func (o *Opened) Close() {
	for _, release := range o.close {
		release()
	}
	o.close = nil
}

// OpenJob returns a job with its answer, and with the provider's request if that is wanted.
// Errors: not found; gone, if its content is deleted; unavailable, if there is no
// memory for it now.
func (r *Reader) OpenJob(ctx context.Context, project, id string, includeRequest bool) (*Opened, error) {
	o, err := r.look(ctx, project, id, includeRequest)
	if err != nil {
		return nil, err
	}
	return r.open(ctx, o, orRefuse)
}

// endFor is how long the end of a job may wait for memory for the job's answer.
const endFor = 30 * time.Second

// OpenEnd returns a job that has ended, without the provider's request. It waits for memory
// if need be.
func (r *Reader) OpenEnd(ctx context.Context, project string, job uuid.UUID) (*Opened, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, endFor, refusal.Read())
	defer cancel()
	o, err := r.look(ctx, project, job.String(), false)
	if err != nil {
		return nil, err
	}
	return r.open(ctx, o, func(g *memory.Grant) func(int64) error { return g.OrWait(ctx) })
}

// LookAtEnd returns a job that has ended, as the event that ends it shows it. long reports
// whether it has long content, which is left out.
func (r *Reader) LookAtEnd(ctx context.Context, project string, job uuid.UUID) (j ringback.Job, long bool, err error) {
	o, err := r.look(ctx, project, job.String(), false)
	if err != nil {
		return j, false, err
	}
	o.Response, o.Webhook, o.StreamURL = nil, nil, "" // a token must not renew itself
	return o.Job, len(o.left) > 0, nil
}

// open reads the long content of a job.
func (r *Reader) open(ctx context.Context, o *Opened, taking func(*memory.Grant) func(bytes int64) error) (*Opened, error) {
	for part, packed := range o.left {
		p, release, err := r.openPart(ctx, &o.stored, part, packed, taking)
		if errors.Is(err, store.ErrGone) { // meanwhile
			o.Close()
			j, _, again := r.store.Job(ctx, o.stored.Project, o.stored.ID, 0)
			if errors.Is(again, store.ErrGone) {
				return nil, refusal.Gone(o.ID, j, r.cfg.Rows)
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

// TextSize returns the size in bytes of the long text.
func (o *Opened) TextSize() int64 { return int64(len(o.answer) + len(o.partial)) }

// PutText puts the text of a long answer into a job.
func (o *Opened) PutText(j *ringback.Job) error {
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

// look returns a job without its long content. It need not be closed.
func (r *Reader) look(ctx context.Context, project, id string, includeRequest bool) (*Opened, error) {
	job, err := refusal.JobID(id)
	if err != nil {
		return nil, err
	}
	parts := store.PartAnswer | store.PartPartial | store.PartWebhook | store.LeaveLarge
	if includeRequest {
		parts |= store.PartRequest
	}
	j, c, err := r.store.Job(ctx, project, job, parts)
	if errors.Is(err, store.ErrGone) {
		return nil, refusal.Gone(id, j, r.cfg.Rows)
	}
	if err != nil {
		return nil, refusal.OfJob(id, err)
	}
	o := &Opened{Job: r.View(&j), stored: j, left: c.Left}
	o.StreamURL = r.cfg.StreamURL(o.ID)
	o.Webhook = viewWebhook(c.Webhook)
	if includeRequest {
		o.ProviderHeaders = j.Options.ProviderHeaders
	}
	return o, o.show(c)
}

// standIn is what JSON has instead of a long value.
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
