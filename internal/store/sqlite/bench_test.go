package sqlite

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// BenchmarkJob does what the store does for a job that finds free slots all the way:
// submitted as running, settled with its webhook in flight, delivered.
func BenchmarkJob(b *testing.B) {
	s := open(b, b.TempDir())
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			id := submitRunning(b, s)
			settleAnswered(b, s, id)
			_, err := s.SettleDelivery(b.Context(), store.Ref{ID: deliveryOf(id), Fence: 1}, store.TryEnd{
				At: time.Now(), Status: ringback.DeliveryDelivered, Try: ringback.Try{At: ringback.Time{Time: time.Now()}, StatusCode: 200},
			})
			if err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkSettle makes the move with the most writes: the end of a job, its answer, its
// row in the ledger and its webhook.
func BenchmarkSettle(b *testing.B) {
	s := open(b, b.TempDir())
	running := make(chan uuid.UUID, b.N)
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			running <- submitRunning(b, s)
		}
	})
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			settleAnswered(b, s, <-running)
		}
	})
}

// submitRunning submits a job with a short prompt, already running.
func submitRunning(b *testing.B, s *Store) uuid.UUID {
	b.Helper()
	now := time.Now().Truncate(time.Millisecond)
	id, _ := uuid.NewV7()
	_, _, err := s.Submit(b.Context(), store.NewJob{Request: benchRequest, Job: store.Job{
		ID: id, Project: "default", Provider: "simulated", Protocol: "anthropic", Model: "sim/echo", RequestedModel: "sim/echo",
		Options:  store.Options{CallbackURL: "http://127.0.0.1:9099/hook", Host: "http://127.0.0.1:9099", Events: ringback.TerminalEvents, MaxAttempts: 3, ResultTTL: time.Hour},
		Metadata: []byte("{}"), Status: ringback.Running, Fence: 1, Node: "n", CreatedAt: now, RunAt: now, StartedAt: now, FirstStartedAt: now,
		ExpiresAt: now.Add(time.Hour), EndBy: now.Add(time.Hour),
	}})
	if err != nil {
		b.Error(err)
	}
	return id
}

// settleAnswered settles a job with a page of text, and a webhook that is sent at once.
func settleAnswered(b *testing.B, s *Store, id uuid.UUID) {
	b.Helper()
	now := time.Now().Truncate(time.Millisecond)
	_, err := s.Settle(b.Context(), store.Ref{ID: id, Fence: 1}, func(store.Job) store.Outcome {
		return store.Outcome{
			At: now, Status: ringback.Completed, Answer: benchAnswer, AnswerModel: "sim/echo", Usage: []byte(`{"input_tokens":5,"output_tokens":500}`),
			Attempt:  &ringback.Attempt{Outcome: ringback.AttemptAnswered},
			Delivery: &store.NewDelivery{ID: deliveryOf(id), Event: ringback.EventCompleted, URL: "http://127.0.0.1:9099/hook", Host: "http://127.0.0.1:9099", Body: benchBody, MadeAt: now, Node: "n"},
		}
	})
	if err != nil {
		b.Error(err)
	}
}

// deliveryOf returns the id of a job's delivery.
func deliveryOf(job uuid.UUID) uuid.UUID {
	job[15]++
	return job
}

var (
	benchText    = strings.Repeat("A webhook is a request that comes to you, when there is something to say. ", 27)
	benchRequest = store.Pack([]byte(`{"model":"sim/echo","max_tokens":4096,"messages":[{"role":"user","content":"What is a webhook?"}]}`))
	benchAnswer  = store.Pack([]byte(`{"id":"msg_1","type":"message","role":"assistant","model":"sim/echo","content":[{"type":"text","text":"` + benchText +
		`"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":500}}`))
	benchBody = store.Pack([]byte(`{"type":"job.completed","job_id":"01a212d5-c121-7c27-8612-b0a55f1c71ca","status":"completed","result":"` + benchText +
		`","model":"sim/echo","usage":{"input_tokens":5,"output_tokens":500}}`))
)
