package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
)

type generateArgs struct {
	JobID       uuid.UUID `json:"job_id"`
	Prompt      string    `json:"prompt"`
	Model       string    `json:"model"`
	MaxTokens   int       `json:"max_tokens"`
	CallbackURL string    `json:"callback_url"`
}

func (generateArgs) Kind() string { return "generate" }

func (generateArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 3} }

// generateWorker calls the provider and hands its answer to a webhook job.
type generateWorker struct {
	river.WorkerDefaults[generateArgs]
	provider provider
	results  results
}

// Timeout replaces River's minute, which is too short for a model that thinks.
func (*generateWorker) Timeout(*river.Job[generateArgs]) time.Duration { return 10 * time.Minute }

func (*generateWorker) NextRetry(job *river.Job[generateArgs]) time.Time {
	return exponential(job.Attempt)
}

func (w *generateWorker) Work(ctx context.Context, job *river.Job[generateArgs]) error {
	// A process killed after the commit of the answer, but before River's next
	// batch of completions, leaves a job that is tried again although it is done.
	if job.Attempt > 1 {
		if body, _, err := w.results.find(ctx, job.Args.JobID); err != nil || body != "" {
			return err
		}
	}
	start := time.Now()
	answer, err := w.provider.call(ctx, job.Args)
	if err != nil {
		return err // River tries again, after the time that NextRetry says
	}
	body, err := json.Marshal(webhookBody{
		Type: "job.completed", JobID: job.Args.JobID, Status: "completed",
		Result: answer.text, Model: answer.model, Usage: answer.usage,
		DurationMS: time.Since(start).Milliseconds(),
	})
	if err != nil {
		return fmt.Errorf("encode the webhook: %w", err)
	}
	return w.settle(ctx, job.Args, string(body))
}

// settle stores the answer together with the job of its webhook. The job of the answer is
// completed by River, which does so for many jobs at once.
func (w *generateWorker) settle(ctx context.Context, args generateArgs, body string) error {
	return pgx.BeginFunc(ctx, w.results.pool, func(tx pgx.Tx) error {
		added, err := w.results.add(ctx, tx, args.JobID, body)
		if err != nil || !added {
			return err
		}
		client := river.ClientFromContext[pgx.Tx](ctx)
		if _, err := client.InsertTx(ctx, tx, webhookArgs{URL: args.CallbackURL, Body: body}, nil); err != nil {
			return fmt.Errorf("insert the webhook job: %w", err)
		}
		return nil
	})
}

// exponential returns the time of the next try: in 5 s, then 10, then 20.
func exponential(attempt int) time.Time {
	return time.Now().Add(5 * time.Second << (attempt - 1))
}
