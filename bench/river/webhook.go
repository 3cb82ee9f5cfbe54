package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
)

type webhookBody struct {
	Type       string    `json:"type"`
	JobID      uuid.UUID `json:"job_id"`
	Status     string    `json:"status"`
	Result     string    `json:"result"`
	Model      string    `json:"model"`
	Usage      usage     `json:"usage"`
	DurationMS int64     `json:"duration_ms"`
}

// webhookArgs hold the body as a string: as an object it would come back from
// jsonb with its keys in another order.
type webhookArgs struct {
	URL  string `json:"url"`
	Body string `json:"body"`
}

func (webhookArgs) Kind() string { return "webhook" }

func (webhookArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: webhookQueue, MaxAttempts: 8}
}

type webhookWorker struct {
	river.WorkerDefaults[webhookArgs]
	client *http.Client
	secret []byte
}

func (*webhookWorker) NextRetry(job *river.Job[webhookArgs]) time.Time {
	return exponential(job.Attempt)
}

func (w *webhookWorker) Work(ctx context.Context, job *river.Job[webhookArgs]) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, job.Args.URL, strings.NewReader(job.Args.Body))
	if err != nil {
		return river.JobCancel(fmt.Errorf("make webhook: %w", err)) // the same on each try
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Webhook-Signature", sign(w.secret, job.Args.Body))
	resp, err := w.client.Do(req)
	if err != nil {
		return fmt.Errorf("send webhook: %w", err)
	}
	defer func() { drain(resp.Body); _ = resp.Body.Close() }()
	if resp.StatusCode >= 300 {
		return fmt.Errorf("send webhook: %s", resp.Status)
	}
	return nil
}

func sign(secret []byte, body string) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}
