package sqlite

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// BenchmarkJob is what the store does for a job that meets free slots all the
// way: submitted as running, settled with its webhook in flight, delivered.
func BenchmarkJob(b *testing.B) {
	s := open(b, b.TempDir())
	request := store.Pack([]byte(`{"model":"sim/echo","max_tokens":4096,"messages":[{"role":"user","content":"What is a webhook?"}]}`))
	answer := store.Pack([]byte(`{"id":"msg_1","type":"message","role":"assistant","model":"sim/echo","content":[{"type":"text","text":"What is a webhook?"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":5}}`))
	body := store.Pack(make([]byte, 900))
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			now := time.Now().Truncate(time.Millisecond)
			id, _ := uuid.NewV7()
			j, _, err := s.Submit(b.Context(), store.NewJob{Request: request, Job: store.Job{
				ID: id, Project: "default", Provider: "simulated", Protocol: "anthropic", Model: "sim/echo", RequestedModel: "sim/echo",
				Options:  store.Options{CallbackURL: "http://127.0.0.1:9099/hook", Host: "http://127.0.0.1:9099", Events: ringback.TerminalEvents, MaxAttempts: 3, ResultTTL: time.Hour},
				Metadata: []byte("{}"), Status: ringback.Running, Fence: 1, Node: "n", CreatedAt: now, RunAt: now, StartedAt: now, FirstStartedAt: now,
				ExpiresAt: now.Add(time.Hour), EndBy: now.Add(time.Hour),
			}})
			if err != nil {
				b.Fatal(err)
			}
			delivery := id
			delivery[15]++
			_, err = s.Settle(b.Context(), j.Ref(), func(store.Job) store.Outcome {
				return store.Outcome{
					At: now, Status: ringback.Completed, Answer: answer, AnswerModel: "sim/echo", Usage: []byte(`{"input_tokens":5,"output_tokens":5}`),
					Attempt:  &ringback.Attempt{Outcome: ringback.AttemptAnswered},
					Delivery: &store.NewDelivery{ID: delivery, Event: ringback.EventCompleted, URL: "http://127.0.0.1:9099/hook", Host: "http://127.0.0.1:9099", Body: body, MadeAt: now, Born: true},
				}
			})
			if err != nil {
				b.Fatal(err)
			}
			_, err = s.SettleDelivery(b.Context(), store.Ref{ID: delivery, Fence: 1}, store.TryEnd{
				At: now, Status: ringback.DeliveryDelivered, Try: ringback.Try{At: ringback.Time{Time: now}, StatusCode: 200},
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
