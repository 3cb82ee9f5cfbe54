package api

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/intake"
	"github.com/ringback/ringback/internal/strictjson"
)

// POST /api/generate
func (s *Server) generate(ctx context.Context, c *call, req *ringback.Request) (reply, error) {
	sub, err := s.submission(c, req)
	if err != nil {
		return reply{}, err
	}
	c.body = nil // it has been read; its memory is freed when the request is encoded
	job, replayed, err := s.node.Submit(ctx, sub)
	if err != nil {
		return reply{}, err
	}
	header := http.Header{"Location": {job.StatusURL}}
	if replayed {
		header.Set(headerReplayed, "true")
	}
	if wait := preferredWait(c.header); wait > 0 {
		c.forget()
		header.Set(headerApplied, fmt.Sprintf("wait=%d", int(wait.Seconds())))
		ended, err := s.waitFor(ctx, c.caller.Project, job.ID, wait, false)
		if err == nil && ended.Status.Terminal() {
			return reply{header: header, job: ended}, nil
		}
		if err == nil {
			ended.Close()
		}
		// It is accepted all the same: reading the job returns what is wrong.
	}
	accepted := ringback.Accepted{JobID: job.ID, Status: ringback.Queued, StatusURL: job.StatusURL, StreamURL: s.node.StreamURL(ctx, job.ID)}
	if replayed {
		accepted.Status = job.Status
	}
	return reply{status: http.StatusAccepted, header: header, body: accepted}, nil
}

// submission combines the body with the headers.
func (s *Server) submission(c *call, req *ringback.Request) (intake.Submission, error) {
	sub := intake.Submission{Caller: c.caller}
	url, err := callbackURL(c.header, req.CallbackURL)
	if err != nil {
		return sub, err
	}
	req.CallbackURL = url
	if req.ProviderHeaders, err = providerHeaders(c.header, req.ProviderHeaders, s.node.ProviderHeaders()); err != nil {
		return sub, err
	}
	key, err := idempotencyKey(c.header)
	if err != nil {
		return sub, err
	}
	sub.Options = intake.Options{Request: *req, IdempotencyKey: key, TraceParent: validTraceParent(c.header)}
	if sub.Options.TraceParent != "" {
		sub.Options.TraceState = validTraceState(c.header)
	}
	if key != "" {
		sub.Options.IdempotencyHash = sameRequest(c)
	}
	return sub, nil
}

// sameRequest returns a hash that is equal for requests that may share one idempotency key.
func sameRequest(c *call) []byte {
	h := sha256.New()
	for _, part := range []string{c.method, c.path, c.header.Get(headerCallbackURL)} {
		fmt.Fprintf(h, "%s\n", part)
	}
	strictjson.WriteCanonical(h, c.body)
	return h.Sum(nil)
}

func readGenerate(r *ringback.Request, name string, v strictjson.Value) error {
	switch name {
	case "prompt":
		return strictjson.ReadString(v, &r.Prompt)
	case "messages":
		return conversation(v, &r.Messages)
	case "callback_url":
		return strictjson.ReadString(v, &r.CallbackURL)
	case "model":
		return strictjson.ReadString(v, &r.Model)
	case "max_tokens":
		return strictjson.ReadInt(v, &r.MaxTokens)
	case "system":
		return strictjson.ReadRaw(v, &r.System, strictjson.TypeString, strictjson.TypeArray)
	case "params":
		return params(v, &r.Params)
	case "provider":
		return strictjson.ReadString(v, &r.Provider)
	case "provider_headers":
		return texts(v, &r.ProviderHeaders, intake.MaxProviderHeaders)
	case "events":
		return events(v, &r.Events)
	case "webhook_body":
		return strictjson.ReadString(v, &r.WebhookBody)
	case "metadata":
		return metadata(v, &r.Metadata)
	case "callback_headers":
		return texts(v, &r.CallbackHeaders, intake.MaxCallbackHeaders)
	case "timeout_seconds":
		return strictjson.ReadInt(v, &r.TimeoutSeconds)
	case "max_attempts":
		return strictjson.ReadInt(v, &r.MaxAttempts)
	case "max_wait_seconds":
		return strictjson.ReadInt(v, &r.MaxWaitSeconds)
	case "result_ttl_seconds":
		return strictjson.ReadInt(v, &r.ResultTTLSeconds)
	case "expires_at":
		return moment(v, &r.ExpiresAt)
	case "retry_uncertain":
		return strictjson.ReadString(v, &r.RetryUncertain)
	case "priority":
		return strictjson.ReadInt(v, &r.Priority)
	case "run_at":
		return moment(v, &r.RunAt)
	case "fallback_models":
		return models(v, &r.FallbackModels)
	case "stream":
		return truth(v, &r.Stream)
	case "stream_to":
		return strictjson.ReadString(v, &r.StreamTo)
	case "on_disconnect":
		return strictjson.ReadString(v, &r.OnDisconnect)
	default:
		return strictjson.ErrUnknownField
	}
}
