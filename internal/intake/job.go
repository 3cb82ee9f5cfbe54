package intake

import (
	"fmt"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/check"
	"github.com/ringback/ringback/internal/protocol"
	"github.com/ringback/ringback/internal/store"
)

// made is a job that is ready to be stored.
type made struct {
	job     store.Job
	request []byte // the provider's request
}

// newJob checks a submission and makes the job that it asks for.
func (in *Intake) newJob(s *Submission, now time.Time) (made, error) {
	c := check.Checks{}
	r := &s.Options.Request
	if s.Dialect != Native {
		return in.keepBody(&c, s, now)
	}
	required(&c, r)
	maxTokens := c.Number("max_tokens", r.MaxTokens)
	job, err := in.describe(&c, s, now)
	if err != nil {
		return made{}, err
	}
	request, err := protocol.EncodeRequest(job.Protocol, protocol.Prompt{
		Model: job.Model, Prompt: r.Prompt, Messages: r.Messages, System: r.System, MaxTokens: maxTokens, Params: r.Params,
	})
	return made{job, request}, err
}

// keepBody makes the job of a submission whose body is the provider's request already.
func (in *Intake) keepBody(c *check.Checks, s *Submission, now time.Time) (made, error) {
	r := &s.Options.Request
	var err error
	if r.Model, err = protocol.CheckRequest(s.Body); err != nil {
		return made{}, err
	}
	if r.CallbackURL == "" && !wantsNoEvents(r) {
		return made{}, ringback.Invalid("callback_url", "callback_url is required unless events is []")
	}
	job, err := in.describe(c, s, now)
	if err != nil {
		return made{}, err
	}
	if job.Protocol != s.Dialect {
		return made{}, ringback.Invalid("model", fmt.Sprintf(
			"model %q is answered by provider %s in the protocol %s, but the request is in that of %s; send it anew as POST /api/generate", job.Model, job.Provider, job.Protocol, s.Dialect))
	}
	return made{job, s.Body}, nil
}

// describe makes a job of everything in a submission that the provider is not to see. It
// returns the first fault that c has found.
func (in *Intake) describe(c *check.Checks, s *Submission, now time.Time) (store.Job, error) {
	r := &s.Options.Request
	model := in.models(c, r)
	options := store.Options{
		Events:         events(c, r),
		WebhookBody:    check.OneOf(c, "webhook_body", r.WebhookBody, ringback.WebhookFull, ringback.WebhookResult, ringback.WebhookThin),
		Timeout:        seconds(c.Number("timeout_seconds", r.TimeoutSeconds)),
		MaxAttempts:    c.Number("max_attempts", r.MaxAttempts),
		MaxWait:        seconds(c.Number("max_wait_seconds", r.MaxWaitSeconds)),
		ResultTTL:      seconds(c.Number("result_ttl_seconds", r.ResultTTLSeconds)),
		RetryUncertain: check.OneOf(c, "retry_uncertain", r.RetryUncertain, ringback.RetryAlways, ringback.RetryNever),
		Provider:       r.Provider,
		TraceParent:    s.Options.TraceParent,
		TraceState:     s.Options.TraceState,
		Stream:         r.Stream || r.StreamTo != "",
		OnDisconnect:   check.OneOf(c, "on_disconnect", r.OnDisconnect, ringback.DisconnectContinue, ringback.DisconnectCancel),
	}
	in.callback(c, r, &options)
	options.ProviderHeaders = in.providerHeaders(c, r)
	in.streamTo(c, r, &options)
	priority := c.Number("priority", r.Priority)
	run := runAt(c, r.RunAt, now)
	expires := expiry(c, r.ExpiresAt, run)
	metadata := metadata(c, r.Metadata)
	if err := c.Err(); err != nil {
		return store.Job{}, err
	}
	name, err := in.cfg.Routes.Provider(model, r.Provider)
	if err != nil {
		return store.Job{}, err
	}
	protocol := in.cfg.Routes.Protocol(name)
	if options.Fallbacks, err = in.fallbacks(r, protocol); err != nil {
		return store.Job{}, err
	}
	id, err := in.cfg.Clock.NewID()
	if err != nil {
		return store.Job{}, err
	}
	return store.Job{
		ID: id, Project: s.Caller.Project, Provider: name, Protocol: protocol,
		Model: model, RequestedModel: model, Fallbacks: options.Fallbacks,
		Options: options, Priority: priority, Metadata: metadata,
		Status: ringback.Queued, CreatedAt: now, RunAt: run, ExpiresAt: expires, EndBy: expires,
		IdempotencyKey: s.Options.IdempotencyKey, IdempotencyHash: s.Options.IdempotencyHash,
	}, nil
}
