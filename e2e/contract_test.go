package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/simulate"
)

// The simple contract, for clients and receivers that know nothing else about Ringback.

func TestARequestWithoutPromptOrCallbackURLIsRefusedInThoseWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	w.start()
	for name, body := range map[string]string{
		"nothing":               `{}`,
		"no prompt":             `{"model":"sim/echo","callback_url":"` + w.callback + `"}`,
		"a null prompt":         `{"prompt":null,"model":"sim/echo","callback_url":"` + w.callback + `"}`,
		"an empty prompt":       `{"prompt":"","model":"sim/echo","callback_url":"` + w.callback + `"}`,
		"no callback_url":       `{"prompt":"Hello","model":"sim/echo"}`,
		"a null callback_url":   `{"prompt":"Hello","model":"sim/echo","callback_url":null}`,
		"an empty callback_url": `{"prompt":"Hello","model":"sim/echo","callback_url":""}`,
		"both empty":            `{"prompt":"","callback_url":""}`,
	} {
		t.Run(name, func(t *testing.T) {
			status, header, answer := w.post(t, "/api/generate", body)
			if got := gjson.GetBytes(answer, "error"); status != http.StatusBadRequest || got.Raw != `"prompt and callback_url required"` {
				t.Errorf("got %d %s, want 400 and that sentence", status, compact(answer))
			}
			if got := header.Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type is %q", got)
			}
		})
	}
	if page, err := w.api.List(t.Context(), client.Query{}); err != nil || len(page.Data) > 0 {
		t.Errorf("what was refused left %d jobs (%v)", len(page.Data), err)
	}
}

func TestAnAcceptedRequestIsAnsweredWithItsJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	w.start()
	for name, body := range map[string]string{
		"three fields": `{"prompt":"Hello","model":"sim/echo","callback_url":"` + w.callback + `"}`,
		"no model":     `{"prompt":"Hello","callback_url":"` + w.callback + `"}`,
		"a null model": `{"prompt":"Hello","model":null,"callback_url":"` + w.callback + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			status, _, answer := w.post(t, "/api/generate", body)
			id := gjson.GetBytes(answer, "job_id").Str
			if status != http.StatusAccepted || id == "" || gjson.GetBytes(answer, "status").Str != "queued" {
				t.Fatalf("got %d %s, want 202 with job_id and status queued", status, compact(answer))
			}
			if d := w.webhook(id); d.Status != "completed" && d.Status != "failed" {
				t.Errorf("its webhook has the status %q", d.Status)
			}
		})
	}
}

// The provider's messages are those in the golden bodies, and the webhooks must be these
// bodies again: the same keys in the same order, and byte for byte what came from the
// provider and from the caller.
func TestWebhooksAreTheGoldenBodies(t *testing.T) {
	t.Parallel()
	golden := goldenBodies(t)
	w := newWorld(t, setup{provider: goldenProvider(golden)})
	w.start("--concurrency", "1")
	for name, body := range golden {
		t.Run(name, func(t *testing.T) {
			got := w.webhook(w.again(t, name, body, w.callback)).Body
			if diff := cmp.Diff(keys(gjson.ParseBytes(body)), keys(gjson.ParseBytes(got))); diff != "" {
				t.Errorf("its keys (-golden +sent):\n%s", diff)
			}
			for _, key := range []string{
				"type", "status", "result", "response", "error", "error_detail", "partial_result", "model", "requested_model",
				"provider", "usage", "cost_usd", "attempts", "metadata",
			} {
				if diff := cmp.Diff(gjson.GetBytes(body, key).Raw, gjson.GetBytes(got, key).Raw); diff != "" {
					t.Errorf("%s (-golden +sent):\n%s", key, diff)
				}
			}
		})
	}
}

// Receivers like those of web teams, as separate processes, verify and read what the server
// sends, in its very bytes and headers.
func TestPlainReceiversReadWhatTheServerSends(t *testing.T) {
	t.Parallel()
	golden := goldenBodies(t)
	for _, script := range plainReceivers {
		for _, secret := range []string{whsecSecret, plainSecret} {
			t.Run(script, func(t *testing.T) {
				t.Parallel()
				r := startReceiver(t, nodeCommand(t, besideModules(t, script)), secret)
				var read sync.Map // job id → the receiver's answer
				w := newWorld(t, setup{provider: goldenProvider(golden), receiver: simulate.ReceiverConfig{
					Secret: secret,
					Answer: func(d simulate.Delivery) simulate.Answer {
						got := r.post(t, d.Header, d.Body)
						read.Store(d.JobID, got.body)
						return simulate.Answer{Status: got.status}
					},
				}})
				w.start("--concurrency", "1")
				for name, body := range golden {
					id := w.again(t, name, body, w.callback)
					job := w.firstTry(t, id)
					got, _ := read.Load(id)
					if diff := cmp.Diff(whatTheyRead(t, job), fields(t, got.([]byte))); diff != "" {
						t.Errorf("%s: what the receiver read (-want +got):\n%s", name, diff)
					}
				}
				w.firstTry(t, w.again(t, "unicode", golden["unicode"], r.url)) // with nothing in between
			})
		}
	}
}

func TestExampleReceiversTakeWhatTheServerSends(t *testing.T) {
	t.Parallel()
	golden := goldenBodies(t)
	for _, example := range exampleReceivers {
		t.Run(example.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, setup{provider: goldenProvider(golden)})
			w.start("--concurrency", "1")
			r := startReceiver(t, example.command(t), whsecSecret)
			var want []accepted
			for name, body := range golden {
				job := w.firstTry(t, w.again(t, name, body, r.url))
				want = append(want, accepted{JobID: job.ID, Status: string(job.Status)})
			}
			if diff := cmp.Diff(want, r.acceptedUntil(t, want[len(want)-1])); diff != "" {
				t.Errorf("jobs accepted (-want +got):\n%s", diff)
			}
		})
	}
}

// firstTry checks that a job's webhook is delivered on its first try.
func (w *world) firstTry(t *testing.T, id string) ringback.Job {
	t.Helper()
	job := w.delivered(id)
	if job.Webhook.Tries != 1 || job.Webhook.LastStatusCode/100 != 2 {
		t.Errorf("the webhook of a %s job was taken after %d tries, want 1", job.Status, job.Webhook.Tries)
	}
	return job
}

// whatTheyRead returns what plain receivers read of a job, as JSON.
func whatTheyRead(t *testing.T, job ringback.Job) map[string]any {
	t.Helper()
	read := map[string]any{"job_id": job.ID, "status": job.Status, "error": job.Error}
	if job.Status == ringback.Completed {
		read = map[string]any{
			"job_id": job.ID, "status": job.Status, "result": job.Result, "model": job.Model, "usage": job.Usage, "duration_ms": job.DurationMS,
		}
	}
	text, err := json.Marshal(read)
	must(t, err)
	return fields(t, text)
}

func fields(t *testing.T, object []byte) map[string]any {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(object, &all); err != nil {
		t.Errorf("%q is no JSON object: %v", object, err)
	}
	return all
}

// again submits the job of a golden body anew and returns its id.
func (w *world) again(t *testing.T, name string, golden []byte, callback string) string {
	t.Helper()
	r := ringback.Request{
		Prompt: name, Model: "claude-sonnet-4-5", CallbackURL: callback, MaxAttempts: new(1), Metadata: json.RawMessage(gjson.GetBytes(golden, "metadata").Raw),
	}
	var ahead string // of a job that will be cancelled while it waits
	if name == "cancelled" {
		ahead = w.submit(ringback.Request{Prompt: "silence", Events: &[]ringback.EventType{}, Model: "claude-silent"})
	}
	accepted, err := w.api.Submit(t.Context(), r)
	must(t, err)
	if ahead != "" {
		for _, id := range []string{accepted.JobID, ahead} {
			_, err := w.api.Cancel(t.Context(), id)
			must(t, err)
		}
		w.ended(ahead)
	}
	return accepted.JobID
}

// goldenProvider answers the name of a golden body with the message in it, as a stream; if
// there is none, with an overload in the middle of an answer. It does not answer anything
// else.
func goldenProvider(golden map[string][]byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, err := io.ReadAll(r.Body)
		name := gjson.GetBytes(request, "messages.0.content").Str
		if err != nil || golden[name] == nil {
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		message, broken := gjson.GetBytes(golden[name], "response"), gjson.GetBytes(golden[name], "partial_result")
		if broken.Exists() {
			raw, _ := sjson.SetRaw(`{"type":"message"}`, "usage", gjson.GetBytes(golden[name], "usage").Raw)
			raw, _ = sjson.SetRaw(raw, "content.0", `{"type":"text","text":`+broken.Raw+`}`)
			message = gjson.Parse(raw)
		}
		for _, event := range streamed(message) {
			fmt.Fprintf(w, "event: %s\ndata: %s\n\n", gjson.Get(event, "type"), event)
			if broken.Exists() && strings.Contains(event, "content_block_delta") {
				fmt.Fprint(w, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n")
				return
			}
		}
	})
}

// streamed returns the events of a message.
func streamed(message gjson.Result) []string {
	head := message.Raw
	for path, value := range map[string]string{"content": "[]", "stop_reason": "null"} {
		head, _ = sjson.SetRaw(head, path, value)
	}
	events := []string{`{"type":"message_start","message":` + head + `}`}
	for i, block := range message.Get("content").Array() {
		empty, value, delta := "text", `""`, `{"type":"text_delta","text":`+block.Get("text").Raw+`}`
		var more []string
		switch block.Get("type").Str {
		case "thinking":
			empty, delta = "thinking", `{"type":"thinking_delta","thinking":`+block.Get("thinking").Raw+`}`
			more = []string{`{"type":"signature_delta","signature":` + block.Get("signature").Raw + `}`}
		case "tool_use":
			empty, value, delta = "input", "{}", `{"type":"input_json_delta","partial_json":`+string(gjson.AppendJSONString(nil, block.Get("input").Raw))+`}`
		}
		start, _ := sjson.SetRaw(block.Raw, empty, value)
		if more != nil {
			start, _ = sjson.SetRaw(start, "signature", `""`)
		}
		events = append(events, fmt.Sprintf(`{"type":"content_block_start","index":%d,"content_block":%s}`, i, start))
		for _, d := range append([]string{delta}, more...) {
			events = append(events, fmt.Sprintf(`{"type":"content_block_delta","index":%d,"delta":%s}`, i, d))
		}
		events = append(events, fmt.Sprintf(`{"type":"content_block_stop","index":%d}`, i))
	}
	return append(events,
		fmt.Sprintf(`{"type":"message_delta","delta":{"stop_reason":%s,"stop_sequence":null},"usage":{"output_tokens":%s}}`,
			message.Get("stop_reason").Raw, message.Get("usage.output_tokens").Raw),
		`{"type":"message_stop"}`)
}

// keys returns the keys of a JSON value in their order, with those of the objects in it.
func keys(value gjson.Result) []string {
	var all []string
	value.ForEach(func(key, child gjson.Result) bool {
		at := key.String()
		all = append(all, at)
		if child.IsObject() || child.IsArray() {
			for _, below := range keys(child) {
				all = append(all, at+"."+below)
			}
		}
		return true
	})
	return all
}
