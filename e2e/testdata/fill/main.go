// Command fill makes a data directory with many jobs, through the store's own
// moves: waiting ones, or such as have ended and brought their webhook. It is a
// program of its own so that it runs without the race detector of the tests.
//
//	fill DIR N queued|ended CALLBACK_URL
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/sqlite"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

// node is who ran the jobs that have ended.
const node = "filler"

// callers share transactions: twice what one takes.
const callers = 512

func run(args []string) (err error) {
	if len(args) != 4 {
		return fmt.Errorf("usage: fill DIR N queued|ended CALLBACK_URL")
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	callback, err := url.Parse(args[3])
	if err != nil {
		return err
	}
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Config{Dir: args[0]})
	if err != nil {
		return err
	}
	defer func() {
		if e := s.Close(); err == nil {
			err = e
		}
	}()
	if _, err := s.Join(ctx, store.Node{ID: node}); err != nil {
		return err
	}
	f := filler{store: s, callback: callback, ended: args[2] == "ended"}
	g, ctx := errgroup.WithContext(ctx)
	for c := range callers {
		g.Go(func() error {
			for i := c; i < n; i += callers {
				if err := f.job(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

type filler struct {
	store    *sqlite.Store
	callback *url.URL
	ended    bool
}

// job stores the nth job: one that waits, or one that has gone its whole way.
func (f filler) job(ctx context.Context, n int) error {
	now := time.Now().Truncate(time.Millisecond)
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	prompt := fmt.Sprintf("waiting %d", n)
	j := store.Job{
		ID: id, Project: "default", Provider: "ezai", Protocol: "anthropic", Model: "sim/echo", RequestedModel: "sim/echo",
		Options: store.Options{
			CallbackURL: f.callback.String(), Host: f.callback.Scheme + "://" + f.callback.Host, Events: ringback.TerminalEvents,
			WebhookBody: ringback.WebhookFull, Timeout: 10 * time.Minute, MaxAttempts: 3, MaxWait: time.Hour,
			ResultTTL: 24 * time.Hour, RetryUncertain: ringback.RetryAlways,
		},
		Metadata: json.RawMessage("{}"), Status: ringback.Queued, CreatedAt: now, RunAt: now,
		ExpiresAt: now.Add(7 * 24 * time.Hour), EndBy: now.Add(7 * 24 * time.Hour),
	}
	if f.ended {
		j.Status, j.Fence, j.Node, j.StartedAt, j.FirstStartedAt = ringback.Running, 1, node, now, now
	}
	request := fmt.Sprintf(`{"model":"sim/echo","max_tokens":4096,"messages":[{"role":"user","content":%q}],"stream":true}`, prompt)
	if _, _, err := f.store.Submit(ctx, store.NewJob{Job: j, Request: store.Pack([]byte(request))}); err != nil || !f.ended {
		return err
	}
	return f.end(ctx, j, now)
}

func (f filler) end(ctx context.Context, j store.Job, now time.Time) error {
	delivery := j.ID
	delivery[15]++
	answer := store.Pack([]byte(`{"id":"msg_1","type":"message","role":"assistant","model":"sim/echo","content":[{"type":"text","text":"waiting"}],"usage":{"input_tokens":2,"output_tokens":2}}`))
	_, err := f.store.Settle(ctx, j.Ref(), func(store.Job) store.Outcome {
		return store.Outcome{
			At: now, Status: ringback.Completed, Answer: answer, AnswerModel: "sim/echo", Usage: json.RawMessage(`{"input_tokens":2,"output_tokens":2}`),
			Attempt: &ringback.Attempt{Outcome: ringback.AttemptAnswered},
			Delivery: &store.NewDelivery{
				ID: delivery, Event: ringback.EventCompleted, URL: j.Options.CallbackURL, Host: j.Options.Host,
				Body: store.Pack(make([]byte, 900)), MadeAt: now, Node: node,
			},
		}
	})
	if err != nil {
		return err
	}
	_, err = f.store.SettleDelivery(ctx, store.Ref{ID: delivery, Fence: 1}, store.TryEnd{
		At: now, Status: ringback.DeliveryDelivered, Try: ringback.Try{At: ringback.Time{Time: now}, StatusCode: 200},
	})
	return err
}
