package intake

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/check"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/webhook"
)

// The bounds of a request beside check.Ranges.
const (
	MaxMetadata        = 16 << 10 // bytes
	MaxFallbacks       = 8
	MaxCallbackHeaders = webhook.MaxHeaders
	MaxProviderHeaders = 64 // names; each is one that may be passed on

	maxModel      = 256 // bytes
	maxRunAt      = 30 * 24 * time.Hour
	maxExpiry     = 30 * 24 * time.Hour
	defaultExpiry = 7 * 24 * time.Hour
)

// MaxEvents is how many kinds of events may be webhooks.
var MaxEvents = len(webhookEvents)

// models checks the models of a request, and returns the one that is called first.
func (in *Intake) models(c *check.Checks, r *ringback.Request) (model string) {
	model = cmp.Or(r.Model, in.cfg.DefaultModel)
	if len(model) > maxModel {
		c.Fault("model", fmt.Sprintf("model must have at most %d bytes", maxModel))
	}
	if !isPrintable(model) {
		c.Fault("model", "model must not have control characters")
	}
	if len(r.FallbackModels) > MaxFallbacks {
		c.Fault("fallback_models", fmt.Sprintf("fallback_models must hold at most %d models", MaxFallbacks))
	}
	for i, f := range r.FallbackModels {
		if f == "" || len(f) > maxModel {
			c.Fault(fmt.Sprintf("fallback_models[%d]", i), fmt.Sprintf("fallback_models must be names of models, of 1 to %d bytes", maxModel))
		}
		if !isPrintable(f) {
			c.Fault(fmt.Sprintf("fallback_models[%d]", i), "fallback_models must not have control characters")
		}
	}
	return model
}

// isPrintable reports whether a name has no control characters: logs and labels show
// it, and not every store can keep them.
func isPrintable(name string) bool {
	return !strings.ContainsFunc(name, unicode.IsControl) && utf8.ValidString(name)
}

// fallbacks checks that each model has a provider which understands the request.
func (in *Intake) fallbacks(r *ringback.Request, protocol string) ([]string, error) {
	for i, model := range r.FallbackModels {
		field := fmt.Sprintf("fallback_models[%d]", i)
		name, err := in.cfg.Routes.Provider(model, r.Provider)
		if err != nil {
			return nil, ringback.Invalid(field, field+": "+err.Error())
		}
		if other := in.cfg.Routes.Protocol(name); other != protocol {
			return nil, ringback.Invalid(field, fmt.Sprintf(
				"%s: provider %s speaks the protocol %s, the request is in that of %s; name models of one protocol", field, name, other, protocol))
		}
	}
	return r.FallbackModels, nil
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// webhookEvents are all events that may be webhooks.
var webhookEvents = slices.Concat(ringback.TerminalEvents, []ringback.EventType{ringback.EventStarted, ringback.EventProgress})

// events checks and returns the webhooks that the caller wants.
func events(c *check.Checks, r *ringback.Request) []ringback.EventType {
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
func (in *Intake) callback(c *check.Checks, r *ringback.Request, o *store.Options) {
	if r.CallbackURL == "" {
		if len(r.CallbackHeaders) > 0 {
			c.Fault("callback_headers", "callback_headers are for the receiver; they need a callback_url")
		}
		return
	}
	if c.Err() != nil {
		return // a request that is refused anyway needs no look-up
	}
	to, err := in.cfg.Guard.CheckNewURL(r.CallbackURL)
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
func (in *Intake) streamTo(c *check.Checks, r *ringback.Request, o *store.Options) {
	if r.StreamTo == "" || c.Err() != nil {
		return
	}
	to, err := in.cfg.Guard.CheckNewStreamURL(r.StreamTo)
	if err != nil {
		c.Fault("stream_to", err.Error())
		return
	}
	o.StreamTo, o.StreamHost = to.URL, to.Host
}

// wantsNoEvents reports whether a request wants no webhooks.
func wantsNoEvents(r *ringback.Request) bool { return r.Events != nil && len(*r.Events) == 0 }

// required checks what every native request must have.
func required(c *check.Checks, r *ringback.Request) {
	// The sentence of the simple form of this API; clients compare it.
	const promptAndCallback = "prompt and callback_url required"
	switch {
	case r.Prompt == "" && len(r.Messages) == 0:
		c.Fault("prompt", promptAndCallback)
	case r.CallbackURL == "" && !wantsNoEvents(r):
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

// providerHeaders checks what a request passes on to its provider.
func (in *Intake) providerHeaders(c *check.Checks, r *ringback.Request) map[string]string {
	headers, err := provider.CheckHeaders(r.ProviderHeaders, in.cfg.ProviderHeaders)
	if err != nil {
		field := "provider_headers." + err.Name
		c.Fault(field, field+" "+err.Error())
	}
	return headers
}
