package node_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/reading"
	"github.com/ringback/ringback/internal/simulate"
	"github.com/ringback/ringback/internal/store"
)

// fieldEffects shows for each field of a request, by its Go name, that it has an effect.
var fieldEffects = map[string]func(t *testing.T, w *world){
	"Prompt": func(t *testing.T, w *world) {
		sent := w.sent(ringback.Request{Prompt: "the prompt"})
		if got, want := string(sent["messages"]), `[{"role":"user","content":"the prompt"}]`; got != want {
			t.Errorf("messages: got %s, want %s", got, want)
		}
	},
	"Messages": func(t *testing.T, w *world) {
		const messages = `[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c","x":1.0}]`
		if sent := w.sent(ringback.Request{Messages: []byte(messages)}); string(sent["messages"]) != messages {
			t.Errorf("messages: got %s, want %s", sent["messages"], messages)
		}
	},
	"CallbackURL": func(t *testing.T, w *world) {
		j := w.submit(ringback.Request{CallbackURL: w.callback + "/elsewhere?a=b"})
		if d := w.webhook(j.ID); d.Path != "/hook/elsewhere" {
			t.Errorf("path: got %s", d.Path)
		}
		if d := w.delivery(j.ID); d.URL != w.callback+"/elsewhere?a=b" {
			t.Errorf("delivery's url: got %s", d.URL)
		}
	},
	"Model": func(t *testing.T, w *world) {
		if sent := w.sent(ringback.Request{Model: "sim/think"}); string(sent["model"]) != `"sim/think"` {
			t.Errorf("model: got %s", sent["model"])
		}
		if sent := w.sent(ringback.Request{}); string(sent["model"]) != `"sim/echo"` {
			t.Errorf("model by default: got %s", sent["model"])
		}
	},
	"MaxTokens": func(t *testing.T, w *world) {
		if sent := w.sent(ringback.Request{MaxTokens: new(7)}); string(sent["max_tokens"]) != "7" {
			t.Errorf("max_tokens: got %s", sent["max_tokens"])
		}
		if sent := w.sent(ringback.Request{}); string(sent["max_tokens"]) != "4096" {
			t.Errorf("max_tokens by default: got %s", sent["max_tokens"])
		}
	},
	"System": func(t *testing.T, w *world) {
		for _, system := range []string{`"be brief"`, `[{"type":"text","text":"be brief"}]`} {
			if sent := w.sent(ringback.Request{System: []byte(system)}); string(sent["system"]) != system {
				t.Errorf("system: got %s, want %s", sent["system"], system)
			}
		}
	},
	"Params": func(t *testing.T, w *world) {
		sent := w.sent(ringback.Request{Params: map[string]json.RawMessage{"temperature": []byte("0.70"), "tools": []byte(`[ ]`)}})
		if string(sent["temperature"]) != "0.70" || string(sent["tools"]) != "[ ]" {
			t.Errorf("params: got %s", sent)
		}
	},
	"Provider": func(t *testing.T, _ *world) {
		log := new(simulate.CallLog)
		upstream := httptest.NewServer(simulate.NewProvider(simulate.ProviderConfig{Observe: log.Observe}))
		defer upstream.Close()
		second, err := provider.New(provider.Config{Name: "second", Protocol: "anthropic", BaseURL: upstream.URL})
		must(t, err)
		defer second.Close()
		w := start(t, setup{node: func(c *node.Config) { c.Providers["second"] = node.Provider{Client: second} }})
		j := w.end(w.submit(ringback.Request{Provider: "second"}).ID)
		if j.Provider != "second" || len(log.Calls()) != 1 || w.ledger(j.ID)[0].Provider != "second" {
			t.Errorf("provider: got %q, %d calls of the second one", j.Provider, len(log.Calls()))
		}
	},
	"ProviderHeaders": storedAs(ringback.Request{ProviderHeaders: map[string]string{"Anthropic-Beta": "a,b"}},
		func(o store.Options) any { return o.ProviderHeaders }, map[string]string{"anthropic-beta": "a,b"}, map[string]string(nil)),
	"Events": func(t *testing.T, w *world) {
		j := w.end(w.submit(ringback.Request{CallbackURL: w.callback, Events: &[]ringback.EventType{ringback.EventFailed}}).ID)
		if j.Webhook != nil {
			t.Errorf("webhook of an event that was not wanted: %+v", j.Webhook)
		}
		j = w.end(w.submit(ringback.Request{Events: &[]ringback.EventType{}}).ID)
		if j.Status != ringback.Completed || j.Webhook != nil {
			t.Errorf("without events and callback_url: got %s with %+v", j.Status, j.Webhook)
		}
	},
	"WebhookBody": func(t *testing.T, w *world) {
		for body, want := range map[ringback.WebhookBody][]string{
			"": {"response", "result"}, ringback.WebhookFull: {"response", "result"}, ringback.WebhookResult: {"result"}, ringback.WebhookThin: nil,
		} {
			got := keys(t, w.webhook(w.submit(ringback.Request{WebhookBody: body}).ID).Body)
			got = slices.DeleteFunc(got, func(k string) bool { return k != "response" && k != "result" })
			if !slices.Equal(got, want) {
				t.Errorf("webhook_body %q: got %v, want %v", body, got, want)
			}
		}
	},
	"Metadata": func(t *testing.T, w *world) {
		const metadata = `{"order":17,"nested":{"a":[1]}}`
		j := w.submit(ringback.Request{Metadata: []byte(metadata)})
		if e := event(t, w.webhook(j.ID)); string(e.Metadata) != metadata || string(w.end(j.ID).Metadata) != metadata {
			t.Errorf("metadata: got %s in the webhook and %s in the job", e.Metadata, w.end(j.ID).Metadata)
		}
	},
	"CallbackHeaders": func(t *testing.T, w *world) {
		j := w.submit(ringback.Request{CallbackHeaders: map[string]string{"X-Tenant": "blue", "Authorization": "Bearer abc"}})
		h := w.webhook(j.ID).Header
		if h.Get("X-Tenant") != "blue" || h.Get("Authorization") != "Bearer abc" {
			t.Errorf("callback_headers: got %v", h)
		}
	},
	"TimeoutSeconds": storedAs(ringback.Request{TimeoutSeconds: new(77)}, func(o store.Options) any { return o.Timeout }, 77*time.Second, 10*time.Minute),
	"MaxAttempts": func(t *testing.T, w *world) {
		j := w.end(w.submit(ringback.Request{Model: "sim/status-500", MaxAttempts: new(2)}).ID)
		if j.Attempts != 2 || j.MaxAttempts != 2 {
			t.Errorf("attempts: got %d of %d, want 2 of 2", j.Attempts, j.MaxAttempts)
		}
	},
	"MaxWaitSeconds": storedAs(ringback.Request{MaxWaitSeconds: new(77)}, func(o store.Options) any { return o.MaxWait }, 77*time.Second, time.Hour),
	"ResultTTLSeconds": func(t *testing.T, w *world) {
		for ttl, want := range map[*int]time.Duration{new(77): 77 * time.Second, nil: 24 * time.Hour} {
			j := w.end(w.submit(ringback.Request{ResultTTLSeconds: ttl}).ID)
			if got := j.ResultExpiresAt.Sub(j.EndedAt.Time); got != want {
				t.Errorf("result_expires_at: %s after the end, want %s", got, want)
			}
		}
	},
	"ExpiresAt": func(t *testing.T, w *world) {
		at := time.Now().Add(5 * time.Minute).Truncate(time.Millisecond)
		if j := w.submit(ringback.Request{ExpiresAt: &ringback.Time{Time: at}}); !j.ExpiresAt.Equal(at) {
			t.Errorf("expires_at: got %s, want %s", j.ExpiresAt, at)
		}
		if j := w.submit(ringback.Request{}); j.ExpiresAt.Sub(j.CreatedAt.Time) != 7*24*time.Hour {
			t.Errorf("expires_at by default: %s after created_at", j.ExpiresAt.Sub(j.CreatedAt.Time))
		}
	},
	"Priority": func(t *testing.T, _ *world) {
		let := make(chan struct{})
		w := start(t, setup{node: func(c *node.Config) { c.Concurrency = 1 }, hold: func(c simulate.Call) <-chan struct{} {
			if c.Prompt == "first" {
				return let
			}
			return nil
		}})
		w.submit(ringback.Request{Prompt: "first"})
		w.called("first", 1)
		low := w.submit(ringback.Request{Prompt: "low"})
		high := w.submit(ringback.Request{Prompt: "high", Priority: new(9)})
		close(let)
		if l, h := w.end(low.ID), w.end(high.ID); !h.StartedAt.Before(l.StartedAt.Time) || h.Priority != 9 || l.Priority != 0 {
			t.Errorf("priority: the high one (%d) started at %s, the low one (%d) at %s", h.Priority, h.StartedAt, l.Priority, l.StartedAt)
		}
	},
	"RunAt": func(t *testing.T, w *world) {
		at := time.Now().Add(time.Hour).Truncate(time.Millisecond)
		j := w.submit(ringback.Request{RunAt: &ringback.Time{Time: at}})
		if j.Status != ringback.Queued || j.StatusReason != "scheduled" || !j.RunAt.Equal(at) {
			t.Errorf("run_at: got %s, %q, %s", j.Status, j.StatusReason, j.RunAt)
		}
		if j.ExpiresAt.Sub(at) != 7*24*time.Hour {
			t.Errorf("expires_at by default: %s after run_at", j.ExpiresAt.Sub(at))
		}
		at = time.Now().Add(200 * time.Millisecond).Truncate(time.Millisecond)
		j = w.submit(ringback.Request{RunAt: &ringback.Time{Time: at}})
		if j = w.end(j.ID); j.StartedAt.Before(at) || !j.RunAt.IsZero() {
			t.Errorf("run_at %s: it started at %s", at, j.StartedAt)
		}
	},
	"FallbackModels": func(t *testing.T, w *world) {
		j := w.end(w.submit(ringback.Request{Model: "sim/status-500", MaxAttempts: new(1), FallbackModels: []string{"sim/status-404", "sim/echo"}}).ID)
		var asked []string
		for _, a := range w.ledger(j.ID) {
			asked = append(asked, a.Model)
		}
		if want := []string{"sim/status-500", "sim/status-404", "sim/echo"}; j.Status != ringback.Completed || !slices.Equal(asked, want) {
			t.Errorf("fallback_models: got %s, asked %v, want %v", j.Status, asked, want)
		}
	},
	"Stream": storedAs(ringback.Request{Stream: true}, func(o store.Options) any { return o.Stream }, true, false),
	"StreamTo": storedAs(ringback.Request{StreamTo: "WSS://EXAMPLE.invalid/x"}, func(o store.Options) any { return []any{o.StreamTo, o.StreamHost, o.Stream} },
		[]any{"wss://example.invalid/x", "https://example.invalid:443", true}, []any{"", "", false}),
	"OnDisconnect": storedAs(ringback.Request{OnDisconnect: ringback.DisconnectCancel}, func(o store.Options) any { return o.OnDisconnect },
		ringback.DisconnectCancel, ringback.DisconnectContinue),
	"RetryUncertain": storedAs(ringback.Request{RetryUncertain: ringback.RetryNever}, func(o store.Options) any { return o.RetryUncertain }, ringback.RetryNever, ringback.RetryAlways),
}

func TestEachFieldOfARequestIsSeenBySomebody(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	request := reflect.TypeFor[ringback.Request]()
	for field := range request.Fields() {
		t.Run(field.Name, func(t *testing.T) {
			effect := fieldEffects[field.Name]
			if effect == nil {
				t.Fatalf("no test shows what %s does", field.Tag.Get("json"))
			}
			effect(t, w.in(t))
		})
	}
	if len(fieldEffects) != request.NumField() {
		t.Errorf("%d effects of %d fields", len(fieldEffects), request.NumField())
	}
}

// sent submits a request and returns what the provider got.
func (w *world) sent(r ringback.Request) map[string]json.RawMessage {
	w.t.Helper()
	j := w.end(w.submit(r).ID)
	id := w.ledger(j.ID)[0].ProviderRequestID
	c := w.call(func(c simulate.Call) bool { return fmt.Sprintf("req_sim_%d", c.Number) == id })
	var body map[string]json.RawMessage
	must(w.t, json.Unmarshal(c.Body, &body))
	return body
}

// storedAs returns a test that an option is stored, and of its default.
func storedAs(r ringback.Request, option func(store.Options) any, want, byDefault any) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		if got := option(w.options(r)); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if got := option(w.options(ringback.Request{})); !reflect.DeepEqual(got, byDefault) {
			t.Errorf("by default: got %v, want %v", got, byDefault)
		}
	}
}

func (w *world) options(r ringback.Request) store.Options {
	w.t.Helper()
	j, _, err := w.store.Job(w.t.Context(), "default", uuid.MustParse(w.submit(r).ID), 0)
	must(w.t, err)
	return j.Options
}

func TestWhatIsOutOfBoundsIsRefusedByNameAndSaysWhatIsRight(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	at := func(d time.Duration) *ringback.Time { return &ringback.Time{Time: time.Now().Add(d)} }
	for _, c := range []struct {
		field, says string
		r           ringback.Request
	}{
		{"messages", "array", ringback.Request{Messages: raw(`{"role":"user"}`)}},
		{"prompt", "exactly one of prompt and messages", ringback.Request{Prompt: "a", Messages: raw(`[]`)}},
		{"callback_url", "http", ringback.Request{CallbackURL: "ftp://example.com/x"}},
		{"callback_url", "--allow-callback", ringback.Request{CallbackURL: "http://10.0.0.7/x"}},
		{"model", "256 bytes", ringback.Request{Model: "sim/" + strings.Repeat("x", 253)}},
		{"model", "set up are: simulated (sim/*); the provider field sends any model", ringback.Request{Model: "unheard-of"}},
		{"max_tokens", "from 1 to 10000000", ringback.Request{MaxTokens: new(0)}},
		{"max_tokens", "from 1 to 10000000", ringback.Request{MaxTokens: new(10_000_001)}},
		{"system", "string or an array", ringback.Request{System: raw(`7`)}},
		{"params.stream", "other than", ringback.Request{Params: map[string]json.RawMessage{"stream": raw(`false`)}}},
		{"params.messages", "other than", ringback.Request{Params: map[string]json.RawMessage{"messages": raw(`[]`)}}},
		{"provider", "set up are: simulated", ringback.Request{Provider: "nobody"}},
		{"messages", "at least one", ringback.Request{CallbackURL: w.callback, Messages: raw(` [ ] `)}},
		{"events", "job.progress", ringback.Request{CallbackURL: w.callback, Events: &[]ringback.EventType{ringback.EventDelta}}},
		{"stream_to", "ws://", ringback.Request{StreamTo: "ftp://example.com/x"}},
		{"stream_to", "--allow-callback", ringback.Request{StreamTo: "wss://10.0.0.7/x"}},
		{"events", "job.completed", ringback.Request{CallbackURL: w.callback, Events: &[]ringback.EventType{""}}},
		{"webhook_body", "full, result, thin", ringback.Request{WebhookBody: "huge"}},
		{"metadata", "an object", ringback.Request{Metadata: raw(`[1]`)}},
		{"metadata", "16 KiB", ringback.Request{Metadata: raw(`{"a":"` + strings.Repeat("x", 16<<10) + `"}`)}},
		{"callback_headers", "reserved", ringback.Request{CallbackHeaders: map[string]string{"Webhook-Id": "1"}}},
		{"callback_headers", "need a callback_url", ringback.Request{Events: &[]ringback.EventType{}, CallbackHeaders: map[string]string{"X-A": "1"}}},
		{"callback_headers", "at most 10", ringback.Request{CallbackHeaders: manyHeaders(11)}},
		{"provider_headers.Authorization", "allowed are anthropic-beta, ", ringback.Request{ProviderHeaders: map[string]string{"Authorization": "Bearer x"}}},
		{"provider_headers.anthropic-beta", "no control", ringback.Request{ProviderHeaders: map[string]string{"anthropic-beta": "a\nb"}}},
		{"provider_headers.anthropic-beta", "is empty", ringback.Request{ProviderHeaders: map[string]string{"anthropic-beta": " "}}},
		{"provider_headers.openai-beta", "2048", ringback.Request{ProviderHeaders: map[string]string{"openai-beta": strings.Repeat("x", 2049)}}},
		{"provider_headers.openai-beta", "twice", ringback.Request{ProviderHeaders: map[string]string{"OpenAI-Beta": "x", "openai-beta": "x"}}},
		{"timeout_seconds", "from 1 to 3600", ringback.Request{TimeoutSeconds: new(0)}},
		{"timeout_seconds", "from 1 to 3600", ringback.Request{TimeoutSeconds: new(3601)}},
		{"max_attempts", "from 1 to 20", ringback.Request{MaxAttempts: new(0)}},
		{"max_attempts", "from 1 to 20", ringback.Request{MaxAttempts: new(21)}},
		{"max_wait_seconds", "from 1 to 604800", ringback.Request{MaxWaitSeconds: new(0)}},
		{"max_wait_seconds", "from 1 to 604800", ringback.Request{MaxWaitSeconds: new(604_801)}},
		{"result_ttl_seconds", "from 60 to 2592000", ringback.Request{ResultTTLSeconds: new(59)}},
		{"result_ttl_seconds", "from 60 to 2592000", ringback.Request{ResultTTLSeconds: new(2_592_001)}},
		{"expires_at", "30 days", ringback.Request{ExpiresAt: at(-time.Second)}},
		{"expires_at", "30 days", ringback.Request{ExpiresAt: at(31 * 24 * time.Hour)}},
		{"retry_uncertain", "always, never", ringback.Request{RetryUncertain: "sometimes"}},
	} {
		_, err := w.try(c.r)
		if e := fault(t, err, ringback.InvalidRequest); e.Field != c.field || !strings.Contains(e.Message, c.says) {
			t.Errorf("%s: got %q about %q, want it to say %q", c.field, e.Message, e.Field, c.says)
		}
	}
	w.wantJobs(0)
}

func manyHeaders(n int) map[string]string {
	headers := map[string]string{}
	for i := range n {
		headers[fmt.Sprintf("X-%d", i)] = "v"
	}
	return headers
}

func (w *world) wantJobs(want int) {
	w.t.Helper()
	page, err := w.node.Jobs(w.t.Context(), "default", reading.JobQuery{Limit: 100})
	must(w.t, err)
	if len(page.Data) != want {
		w.t.Errorf("jobs in the store: got %d, want %d", len(page.Data), want)
	}
}

func TestWithoutPromptOrCallbackURLTheSentenceIsTheKnownOne(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	for field, r := range map[string]ringback.Request{
		"prompt":       {CallbackURL: w.callback},
		"callback_url": {Prompt: "a"},
	} {
		_, _, err := w.node.Submit(t.Context(), asking(r))
		if e := fault(t, err, ringback.InvalidRequest); e.Message != "prompt and callback_url required" || e.Field != field {
			t.Errorf("got %q about %q, want the known sentence about %q", e.Message, e.Field, field)
		}
	}
}

func TestAnIdempotencyKeyMakesOneJob(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	submission := asking(ringback.Request{Prompt: "once", CallbackURL: w.callback})
	submission.Options.IdempotencyKey, submission.Options.IdempotencyHash = "order-17", []byte("a")
	var (
		together sync.WaitGroup
		mu       sync.Mutex
		ids      = map[string]bool{}
		fresh    int
	)
	for range 20 {
		together.Go(func() {
			j, replayed, err := w.node.Submit(t.Context(), submission)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("submit: %v", err)
			}
			ids[j.ID] = true
			if !replayed {
				fresh++
			}
		})
	}
	together.Wait()
	if len(ids) != 1 || fresh != 1 {
		t.Fatalf("20 submits with one key: %d jobs, %d of them new; want 1", len(ids), fresh)
	}
	j, _, err := w.node.Submit(t.Context(), submission)
	must(t, err)
	w.end(j.ID)
	j, replayed, err := w.node.Submit(t.Context(), submission)
	if err != nil || !replayed || !ids[j.ID] || j.Status != ringback.Completed {
		t.Errorf("after its end: got %s %s, %v, %v; want the job as it is now", j.ID, j.Status, replayed, err)
	}
	submission.Options.IdempotencyHash = []byte("b")
	_, _, err = w.node.Submit(t.Context(), submission)
	fault(t, err, ringback.IdempotencyMismatch)
	w.webhook(j.ID)
	w.wantCalls("once", 1)
	w.wantWebhooks(j.ID, 1)
	w.wantJobs(1)
}

func TestAFullQueueIsSaidBeforeAnythingIsAccepted(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: func(c *node.Config) {
		impatient(c)
		c.Concurrency, c.MaxQueued = 1, 2
	}})
	running := w.ask("sim/mute", "hang")
	w.called("hang", 1)
	w.ask("sim/mute", "second")
	waiting := w.ask("sim/mute", "third")
	if w.node.Readiness().Ready {
		t.Error("a node with a full queue is ready")
	}
	w.wantUnavailable(3)

	_, err := w.node.Cancel(t.Context(), "default", waiting.ID)
	must(t, err)
	w.ask("sim/mute", "fourth")
	_, err = w.node.Cancel(t.Context(), "default", running.ID)
	must(t, err)
}

func TestADiskBelowItsReserveIsSaidBeforeAnythingIsAccepted(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: func(c *node.Config) { c.DataDir, c.DiskReserve = t.TempDir(), 1<<63-1 }})
	w.wantUnavailable(0)
	if r := w.node.Readiness(); r.Ready || r.Checks["disk"] == "ok" {
		t.Errorf("readiness: got %+v, want not ready for the disk", r)
	}
}

// wantUnavailable tries to submit and checks that nothing is stored.
func (w *world) wantUnavailable(jobs int) {
	w.t.Helper()
	_, err := w.try(ringback.Request{Prompt: "one more"})
	if e := fault(w.t, err, ringback.Unavailable); e.RetryAfterSeconds < 1 {
		w.t.Errorf("Retry-After: got %d, want some seconds", e.RetryAfterSeconds)
	}
	w.wantJobs(jobs)
}

// A job that was claimed on insert while the leftovers of a dead process are taken back
// would be taken back itself, as uncertain, and called twice.
func TestAJobSubmittedDuringTheStartIsNotTakenForALeftover(t *testing.T) {
	t.Parallel()
	s := &slowSweep{began: make(chan struct{}), goOn: make(chan struct{})}
	var early ringback.Job
	w := start(t, setup{
		node: func(c *node.Config) { s.Store, c.Store = c.Store, s },
		early: func(w *world) {
			<-s.began
			early = w.ask("sim/echo", "early")
			close(s.goOn)
		},
	})
	if j := w.end(early.ID); j.Attempts != 1 {
		t.Errorf("attempts: got %d, want 1", j.Attempts)
	}
	w.wantOutcomes(early.ID, answered)
}
