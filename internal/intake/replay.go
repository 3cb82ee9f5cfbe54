package intake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/store"
)

// Patch is what a replay changes. The zero Patch changes nothing.
type Patch struct {
	// Request is a JSON merge patch (RFC 7396) on the provider's request; nil
	// leaves it as it is.
	Request []byte
	// Settings replace those of the old job that Given names in JSON; a zero one means the
	// default.
	Settings ringback.Request
	Given    []string
}

// settings are the fields of a request that a Patch may set: all that the provider does not
// see, except the metadata. Each copies one from another request.
var settings = map[string]func(to, from *ringback.Request){
	"callback_url":       func(to, from *ringback.Request) { to.CallbackURL = from.CallbackURL },
	"callback_headers":   func(to, from *ringback.Request) { to.CallbackHeaders = from.CallbackHeaders },
	"provider_headers":   func(to, from *ringback.Request) { to.ProviderHeaders = from.ProviderHeaders },
	"events":             func(to, from *ringback.Request) { to.Events = from.Events },
	"webhook_body":       func(to, from *ringback.Request) { to.WebhookBody = from.WebhookBody },
	"timeout_seconds":    func(to, from *ringback.Request) { to.TimeoutSeconds = from.TimeoutSeconds },
	"max_attempts":       func(to, from *ringback.Request) { to.MaxAttempts = from.MaxAttempts },
	"max_wait_seconds":   func(to, from *ringback.Request) { to.MaxWaitSeconds = from.MaxWaitSeconds },
	"result_ttl_seconds": func(to, from *ringback.Request) { to.ResultTTLSeconds = from.ResultTTLSeconds },
	"retry_uncertain":    func(to, from *ringback.Request) { to.RetryUncertain = from.RetryUncertain },
	"priority":           func(to, from *ringback.Request) { to.Priority = from.Priority },
	"run_at":             func(to, from *ringback.Request) { to.RunAt = from.RunAt },
	"expires_at":         func(to, from *ringback.Request) { to.ExpiresAt = from.ExpiresAt },
	"fallback_models":    func(to, from *ringback.Request) { to.FallbackModels = from.FallbackModels },
	"provider":           func(to, from *ringback.Request) { to.Provider = from.Provider },
}

// IsSetting reports whether a field of a patch is one of Patch.Settings.
func IsSetting(name string) bool { return settings[name] != nil }

// Replay makes a new job of one that ended without an answer. The old one never
// changes, except for its link to the new one. An error is the user's.
func (in *Intake) Replay(ctx context.Context, project, id string, p Patch) (store.Job, error) {
	job, err := refusal.JobID(id)
	if err != nil {
		return store.Job{}, err
	}
	stored, err := in.ReplayJob(ctx, project, job, p, false)
	if err != nil {
		return store.Job{}, in.replayError(id, stored, err)
	}
	return stored, nil
}

// replaysAtOnce bounds the memory that replays take: each holds a request, before and after
// the patch.
const replaysAtOnce = 8

// ReplayJob is Replay. Its error may be one of the store; the job that it is about comes
// with it. once refuses a job that was replayed before.
func (in *Intake) ReplayJob(ctx context.Context, project string, id uuid.UUID, p Patch, once bool) (store.Job, error) {
	select {
	case in.replays <- struct{}{}:
		defer func() { <-in.replays }()
	case <-ctx.Done():
		return store.Job{}, context.Cause(ctx)
	}
	in.cfg.Admission.Lock()
	defer in.cfg.Admission.Unlock()
	if err := in.admit(ctx); err != nil {
		return store.Job{}, err
	}
	old, content, err := in.cfg.Store.Job(ctx, project, id, store.PartRequest|store.LeaveLarge)
	switch {
	case err != nil:
		return old, err
	case !old.Status.Terminal():
		return old, store.ErrLive
	case old.Status == ringback.Completed:
		return old, store.ErrEnded
	case old.Unreadable != "":
		return old, store.ErrUnreadable
	}
	held := in.cfg.Bodies.Grant()
	defer held.Release()
	request, err := in.replayed(old, content, held)
	if err != nil {
		return old, err
	}
	again, err := in.again(old, request, p, in.cfg.Clock.Stamped())
	if err != nil {
		return old, err
	}
	stored, _, err := in.cfg.Insert(ctx, again.job, again.request, func(ctx context.Context, j store.NewJob) (store.Job, bool, error) {
		j.Once = once
		stored, err := in.cfg.Store.Replay(ctx, j)
		return stored, false, err
	})
	return stored, err
}

// replayCost is how many bytes of memory each byte of a replayed request takes: as it was,
// as it is read to be patched, as it will be, and as it is stored.
const replayCost = 4

// replayed reads the request of a job that is replayed. A large one takes memory first.
func (in *Intake) replayed(old store.Job, content store.Content, held *memory.Grant) ([]byte, error) {
	left := content.Left[store.PartRequest]
	if left == 0 {
		return content.Request, nil
	}
	take := func(bytes int64) error {
		if !held.Take(bytes) {
			return in.cfg.Refuser.Body()
		}
		return nil
	}
	request, err := store.ReadLarge(in.cfg.Store, old.ID, store.PartRequest, left, take)
	if err != nil {
		return nil, err
	}
	size := int64(len(request))
	held.Shrink(size)
	return request, take((replayCost - 1) * size)
}

// maxRequest bounds a patched request in bytes, as the API bounds a new one.
const maxRequest = 32 << 20

// again makes the job that repeats another one. Its request is kept in the dialect that
// it was stored in.
func (in *Intake) again(old store.Job, request []byte, p Patch, now time.Time) (made, error) {
	if p.Request != nil {
		request = mergePatch(request, p.Request)
	}
	if len(request) > maxRequest {
		return made{}, &ringback.Error{Code: ringback.TooLarge, Message: fmt.Sprintf("the patched request is larger than %d bytes", maxRequest)}
	}
	r := requestOf(old)
	for _, name := range p.Given {
		settings[name](&r, &p.Settings)
	}
	again, err := in.newJob(&Submission{
		Caller: Caller{Project: old.Project}, Dialect: old.Protocol, Body: request,
		Options: Options{Request: r, TraceParent: old.Options.TraceParent, TraceState: old.Options.TraceState},
	}, now)
	again.job.ReplayOf = old.ID
	return again, err
}

// requestOf returns what the caller of a job chose, except for what the provider sees.
func requestOf(j store.Job) ringback.Request {
	o := j.Options
	inSeconds := func(d time.Duration) *int { return new(int(d / time.Second)) }
	return ringback.Request{
		CallbackURL:      o.CallbackURL,
		CallbackHeaders:  o.CallbackHeaders,
		ProviderHeaders:  o.ProviderHeaders,
		Events:           new(slices.Clone(o.Events)),
		WebhookBody:      o.WebhookBody,
		Metadata:         j.Metadata,
		TimeoutSeconds:   inSeconds(o.Timeout),
		MaxAttempts:      new(o.MaxAttempts),
		MaxWaitSeconds:   inSeconds(o.MaxWait),
		ResultTTLSeconds: inSeconds(o.ResultTTL),
		RetryUncertain:   o.RetryUncertain,
		Priority:         new(j.Priority),
		FallbackModels:   o.Fallbacks,
		Provider:         o.Provider,
		Stream:           o.Stream,
		StreamTo:         o.StreamTo,
		OnDisconnect:     o.OnDisconnect,
	}
}

// replayError turns an error of the store into the sentence for the API's user; j is the
// job that came with it.
func (in *Intake) replayError(id string, j store.Job, err error) error {
	conflict := func(format string, args ...any) error {
		return &ringback.Error{Code: ringback.Conflict, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case errors.Is(err, store.ErrLive):
		return conflict("job %s is %s; only a job that has ended can be replayed", id, j.Status)
	case errors.Is(err, store.ErrEnded):
		return conflict("job %s is completed; it has an answer, and needs no replay; POST /api/jobs/{id}/redeliver sends its webhook once more", id)
	case errors.Is(err, store.ErrReplayed):
		return conflict("job %s is being replayed: job %s is %s", id, j.ID, j.Status)
	case errors.Is(err, store.ErrGone) && j.Status.Terminal():
		return refusal.Gone(id, j, in.cfg.RowsKept)
	case errors.Is(err, store.ErrUnreadable):
		return conflict("job %s can't be replayed, since its stored row can't be read: %s; send its request anew as POST /api/generate", id, j.Unreadable)
	}
	return in.cfg.Refuser.Write(refusal.OfJob(id, err))
}
