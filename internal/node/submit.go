package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/check"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/protocol"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
	"github.com/ringback/ringback/internal/webhook"
)

// Submission is a request at the door, with what its headers said.
type Submission struct {
	Project         string
	Request         ringback.Request
	IdempotencyKey  string // "" means none
	IdempotencyHash []byte // of everything that a repetition must have in common
	TraceParent     string
	TraceState      string
}

// Submit checks a request and stores it as a job: the job is on stable storage
// when Submit returns. replayed tells that the idempotency key named a job that
// was there already. An error is the user's, or internal.
func (n *Node) Submit(ctx context.Context, s Submission) (job ringback.Job, replayed bool, err error) {
	ctx, traced := n.traceSend(ctx, &s)
	defer func() { traced(&job, err); n.refuser.Count(err) }()
	n.admission.RLock()
	defer n.admission.RUnlock()
	if first, found, err := n.repeated(ctx, s); found || err != nil {
		return first, found, n.refuser.Write(err)
	}
	if err := n.admit(ctx); err != nil {
		return job, false, n.refuser.Write(err)
	}
	accepted, err := n.accept(s, n.clock.Stamped())
	s.Request = ringback.Request{} // it may be large, and is not needed any more
	if err != nil {
		return job, false, err
	}
	stored, replayed, err := n.insert(ctx, accepted, n.store.Submit)
	return n.View(&stored), replayed, n.refuser.Write(err)
}

// insert stores a job that is accepted, and sees to it that it runs. replayed
// tells that another one is there in its place.
func (n *Node) insert(ctx context.Context, a accepted, put func(context.Context, store.NewJob) (store.Job, bool, error)) (stored store.Job, replayed bool, err error) {
	job := store.NewJob{Job: a.Job, Request: store.Pack(a.request)}
	n.names.used(job.Job.Model)
	t := n.startNow(&job.Job, len(a.request))
	if t == nil {
		a.request = nil // it is read again when the job is claimed
	}
	stored, replayed, err = put(ctx, job)
	if t != nil && n.members.NoLease(err) { // then it is not claimed, but queued
		n.undoStart(job.Job, t)
		t, job.Job, a.request = nil, a.Job, nil
		stored, replayed, err = put(ctx, job)
	}
	switch {
	case err != nil || replayed:
		if t != nil {
			n.undoStart(job.Job, t)
		}
	case t != nil:
		n.recordAccepted(&stored)
		n.start(stored, a.request, t)
	default:
		n.recordAccepted(&stored)
		if !stored.RunAt.After(stored.CreatedAt) {
			n.jobs.waits(stored.Lane())
		}
		supervise.Wake(n.wakeJobs)
	}
	return stored, replayed, err
}

// repeated finds the job of an idempotency key that is taken. It comes before
// all other checks: a repetition is answered as the first request was, also
// when its expires_at is past by now or the queue is full. (Two that come at
// once are told apart by the store.)
func (n *Node) repeated(ctx context.Context, s Submission) (ringback.Job, bool, error) {
	if s.IdempotencyKey == "" {
		return ringback.Job{}, false, nil
	}
	first, err := n.store.ByIdempotencyKey(ctx, s.Project, s.IdempotencyKey)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return ringback.Job{}, false, nil
	case err != nil:
		return ringback.Job{}, false, err
	case !bytes.Equal(first.IdempotencyHash, s.IdempotencyHash):
		return ringback.Job{}, false, n.refuser.Write(store.ErrMismatch)
	}
	return n.View(&first), true, nil
}

// admit refuses at the door what could not be kept, before anything is accepted.
func (n *Node) admit(ctx context.Context) error {
	switch {
	case !n.is(API):
		return n.refuser.Refuse(refusal.Role, "this node takes no requests; it is a worker", 5)
	case n.draining.Load():
		return n.refuser.Refuse(refusal.Stopping, "the server is stopping; try again in a moment", 5)
	case n.disk.Full():
		return n.refuser.Refuse(refusal.Disk, "the server's disk is nearly full; try again later", 30)
	}
	queued, err := n.store.Queued(ctx)
	if err != nil {
		return err
	}
	if queued >= n.cfg.MaxQueued {
		return n.refuser.Refuse(refusal.Queue, fmt.Sprintf("%d jobs are waiting, which is all that the server takes; try again later", queued), 10)
	}
	return nil
}

// startNow claims a new job on insert, where its lane has nothing waiting, a slot is
// free, and there is memory for its request. The permit must be used or given back.
func (n *Node) startNow(j *store.Job, request int) *callPermit {
	l := n.members.Session()
	if !n.is(Worker) || n.memory.Answers.Full() || n.supervisor.Short() || !n.recovered.Load() || j.RunAt.After(j.CreatedAt) || !l.Leased() {
		return nil
	}
	held := n.memory.Answers.Grant()
	if !held.Take(int64(request) * memory.RequestCost) {
		return nil
	}
	t := n.jobs.tryNow(j.Lane())
	if t == nil {
		held.Release()
		return nil
	}
	t.held = held
	t.session = l
	j.Status, j.Fence, j.Node = ringback.Running, 1, l.ID()
	j.StartedAt, j.FirstStartedAt = j.CreatedAt, j.CreatedAt
	n.inflight.startNow(j.Ref(), l)
	return t
}

// undoStart gives back what a job took that was not stored as claimed.
func (n *Node) undoStart(j store.Job, t *callPermit) {
	n.inflight.leave(j.Ref())
	t.held.Release()
	t.give()
	supervise.Wake(n.wakeJobs)
}

// accepted is a request that has become a job.
type accepted struct {
	store.Job
	request []byte // the provider's request
}

// The bounds of a request beside Ranges.
const (
	defaultExpiry = 7 * 24 * time.Hour
	maxExpiry     = 30 * 24 * time.Hour
	MaxMetadata   = 16 << 10 // bytes
	maxModel      = 256
	MaxFallbacks  = 8
	maxRunAt      = 30 * 24 * time.Hour

	MaxCallbackHeaders = webhook.MaxHeaders
	MaxProviderHeaders = 64 // names; each is one that may be passed on
)

// MaxEvents is how many kinds of events may be webhooks.
var MaxEvents = len(webhookEvents)

// accept checks a request and makes the job that it asks for.
func (n *Node) accept(s Submission, now time.Time) (accepted, error) {
	r := s.Request
	c := check.Checks{}
	required(&c, r)
	maxTokens := c.Number("max_tokens", r.MaxTokens)
	job, err := n.newJob(&c, s, now)
	if err != nil {
		return accepted{}, err
	}
	request, err := protocol.EncodeRequest(job.Protocol, protocol.Prompt{
		Model: job.Model, Prompt: r.Prompt, Messages: r.Messages, System: r.System, MaxTokens: maxTokens, Params: r.Params,
	})
	return accepted{job, request}, err
}

// newJob makes a job of all that a request says besides what the provider is to
// see. It returns the first fault that c has found.
func (n *Node) newJob(c *check.Checks, s Submission, now time.Time) (store.Job, error) {
	r := s.Request
	model, fallbacks := n.models(c, r)
	options := store.Options{
		Events:         n.events(c, r),
		WebhookBody:    check.OneOf(c, "webhook_body", r.WebhookBody, ringback.WebhookFull, ringback.WebhookResult, ringback.WebhookThin),
		Timeout:        seconds(c.Number("timeout_seconds", r.TimeoutSeconds)),
		MaxAttempts:    c.Number("max_attempts", r.MaxAttempts),
		MaxWait:        seconds(c.Number("max_wait_seconds", r.MaxWaitSeconds)),
		ResultTTL:      seconds(c.Number("result_ttl_seconds", r.ResultTTLSeconds)),
		RetryUncertain: check.OneOf(c, "retry_uncertain", r.RetryUncertain, ringback.RetryAlways, ringback.RetryNever),
		Provider:       r.Provider,
		TraceParent:    s.TraceParent,
		TraceState:     s.TraceState,
		Stream:         r.Stream || r.StreamTo != "",
		OnDisconnect:   check.OneOf(c, "on_disconnect", r.OnDisconnect, ringback.DisconnectContinue, ringback.DisconnectCancel),
	}
	n.callback(c, r, &options)
	options.ProviderHeaders = n.providerHeaders(c, r)
	n.streamTo(c, r, &options)
	priority := c.Number("priority", r.Priority)
	run := runAt(c, r.RunAt, now)
	expires := expiry(c, r.ExpiresAt, run)
	metadata := metadata(c, r.Metadata)
	if err := c.Err(); err != nil {
		return store.Job{}, err
	}
	name, err := n.route(model, r.Provider)
	if err != nil {
		return store.Job{}, err
	}
	protocol := n.cfg.Providers[name].Client.Protocol()
	if options.Fallbacks, err = n.fallbacks(fallbacks, r, protocol); err != nil {
		return store.Job{}, err
	}
	id, err := n.clock.NewID()
	if err != nil {
		return store.Job{}, err
	}
	return store.Job{
		ID: id, Project: s.Project, Provider: name, Protocol: protocol,
		Model: model, RequestedModel: model, Fallbacks: options.Fallbacks,
		Options: options, Priority: priority, Metadata: metadata,
		Status: ringback.Queued, CreatedAt: now, RunAt: run, ExpiresAt: expires, EndBy: expires,
		IdempotencyKey: s.IdempotencyKey, IdempotencyHash: s.IdempotencyHash,
	}, nil
}

// models are the model that is asked first, and those behind it.
func (n *Node) models(c *check.Checks, r ringback.Request) (model string, fallbacks []string) {
	model, fallbacks = cmp.Or(r.Model, n.cfg.DefaultModel, defaultModel), r.FallbackModels
	if len(model) > maxModel {
		c.Fault("model", fmt.Sprintf("model must have at most %d bytes", maxModel))
	}
	if !isPrintable(model) {
		c.Fault("model", "model must not have control characters")
	}
	if len(fallbacks) > MaxFallbacks {
		c.Fault("fallback_models", fmt.Sprintf("fallback_models must hold at most %d models", MaxFallbacks))
	}
	for i, f := range fallbacks {
		if f == "" || len(f) > maxModel {
			c.Fault(fmt.Sprintf("fallback_models[%d]", i), fmt.Sprintf("fallback_models must be names of models, of 1 to %d bytes", maxModel))
		}
		if !isPrintable(f) {
			c.Fault(fmt.Sprintf("fallback_models[%d]", i), "fallback_models must not have control characters")
		}
	}
	return model, fallbacks
}

// isPrintable tells whether a name has no control characters: logs and labels show
// it, and not every store can keep them.
func isPrintable(name string) bool {
	return !strings.ContainsFunc(name, unicode.IsControl) && utf8.ValidString(name)
}

// fallbacks checks that each model has a provider which understands the request.
func (n *Node) fallbacks(models []string, r ringback.Request, protocol string) ([]string, error) {
	for i, model := range models {
		field := fmt.Sprintf("fallback_models[%d]", i)
		name, err := n.route(model, r.Provider)
		if err != nil {
			return nil, ringback.Invalid(field, field+": "+err.Error())
		}
		if other := n.cfg.Providers[name].Client.Protocol(); other != protocol {
			return nil, ringback.Invalid(field, fmt.Sprintf(
				"%s: provider %s speaks the protocol %s, the request is in that of %s; name models of one protocol", field, name, other, protocol))
		}
	}
	return models, nil
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// webhookEvents are all events that may be webhooks.
var webhookEvents = slices.Concat(ringback.TerminalEvents, []ringback.EventType{ringback.EventStarted, ringback.EventProgress})

// events are the webhooks that the caller wants.
func (n *Node) events(c *check.Checks, r ringback.Request) []ringback.EventType {
	if r.Events == nil {
		return ringback.TerminalEvents
	}
	if len(*r.Events) > MaxEvents {
		c.Fault("events", fmt.Sprintf("events must hold at most %d kinds of events", MaxEvents))
		return nil
	}
	for i, e := range *r.Events {
		check.OneOf(c, "events", cmp.Or(e, "?"), webhookEvents...)
		if slices.Contains((*r.Events)[:i], e) {
			c.Fault("events", fmt.Sprintf("events has %s twice; name each once", e))
		}
	}
	return *r.Events
}

// callback checks where webhooks go, and what the caller adds to them.
func (n *Node) callback(c *check.Checks, r ringback.Request, o *store.Options) {
	if r.CallbackURL == "" {
		if len(r.CallbackHeaders) > 0 {
			c.Fault("callback_headers", "callback_headers are for the receiver; they need a callback_url")
		}
		return
	}
	if c.Err() != nil {
		return // a request that is refused anyway needs no look-up
	}
	to, err := n.cfg.Guard.CheckNewURL(r.CallbackURL)
	if err != nil {
		c.Fault("callback_url", err.Error())
		return
	}
	if _, err := webhook.Headers(r.CallbackHeaders); err != nil {
		c.Fault("callback_headers", err.Error())
	}
	o.CallbackURL, o.Host, o.CallbackHeaders = to.URL, to.Host, r.CallbackHeaders
}

// streamTo checks where the job's events are pushed.
func (n *Node) streamTo(c *check.Checks, r ringback.Request, o *store.Options) {
	if r.StreamTo == "" || c.Err() != nil {
		return
	}
	to, err := n.cfg.Guard.CheckNewStreamURL(r.StreamTo)
	if err != nil {
		c.Fault("stream_to", err.Error())
		return
	}
	o.StreamTo, o.StreamHost = to.URL, to.Host
}

// required checks what every request must have.
func required(c *check.Checks, r ringback.Request) {
	// The sentence of the simple form of this API; clients compare it.
	const promptAndCallback = "prompt and callback_url required"
	wantsNoEvents := r.Events != nil && len(*r.Events) == 0
	switch {
	case r.Prompt == "" && len(r.Messages) == 0:
		c.Fault("prompt", promptAndCallback)
	case r.CallbackURL == "" && !wantsNoEvents:
		c.Fault("callback_url", promptAndCallback)
	}
}

func runAt(c *check.Checks, at *ringback.Time, now time.Time) time.Time {
	if at == nil || !at.After(now) { // a time that has come is as good as none
		return now
	}
	if at.After(now.Add(maxRunAt)) {
		c.Fault("run_at", "run_at must be at most 30 days ahead")
	}
	return at.UTC().Truncate(time.Millisecond)
}

func expiry(c *check.Checks, at *ringback.Time, run time.Time) time.Time {
	if at == nil || at.IsZero() {
		return run.Add(defaultExpiry)
	}
	if !at.After(run) || at.After(run.Add(maxExpiry)) {
		c.Fault("expires_at", "expires_at must be a time after now and after run_at, by at most 30 days")
	}
	return at.UTC().Truncate(time.Millisecond)
}

func metadata(c *check.Checks, raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 || string(raw) == "null" {
		return json.RawMessage("{}")
	}
	if len(raw) > MaxMetadata {
		c.Fault("metadata", "metadata must have at most 16 KiB")
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil {
		c.Fault("metadata", "metadata must be an object")
	}
	return raw
}
