package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/simulate"
)

const (
	storyPrompt = "What is a webhook?"
	storyModel  = "sim/slow"
	killAt      = 31 // words of the first answer
	poll        = 20 * time.Millisecond
)

// story runs the steps, in the order in which the screen shows them.
func (d *demo) story(ctx context.Context) error {
	if err := d.start(ctx); err != nil {
		return err
	}
	d.screen.sayf("server", "http://%s is up (pid %d)", d.addr, d.server.pid)
	if err := d.submit(ctx); err != nil {
		return err
	}
	if err := d.killInTheMiddle(ctx); err != nil {
		return err
	}
	if err := d.start(ctx); err != nil {
		return err
	}
	if err := d.takenBack(ctx); err != nil {
		return err
	}
	if err := d.secondCall(ctx); err != nil {
		return err
	}
	return d.arrival(ctx)
}

// start starts the server and waits until it is up. If another program has taken its port
// since it was found free, the server moves to another one.
func (d *demo) start(ctx context.Context) error {
	for {
		server, err := startChild(d.config, d.serverDied, "serve", "--config", d.configFile())
		if err != nil {
			return fmt.Errorf("start the server: %w", err)
		}
		d.server = server
		err = server.awaitUp(ctx)
		if err == nil || ctx.Err() != nil || !server.portTaken() {
			return err
		}
		if err := d.place("127.0.0.1:0"); err != nil {
			return err
		}
	}
}

// submit submits the job as any client would.
func (d *demo) submit(ctx context.Context) error {
	request := ringback.Request{Prompt: storyPrompt, Model: storyModel, CallbackURL: d.callback}
	body, err := json.Marshal(struct { // fields in the order in which a person writes them
		Prompt      string `json:"prompt"`
		Model       string `json:"model"`
		CallbackURL string `json:"callback_url"`
	}{request.Prompt, request.Model, "…:" + portOf(d.callback) + "/hook"})
	if err != nil {
		return err
	}
	d.screen.sayf("client", "POST /api/generate %s", body)
	begin := time.Now()
	accepted, err := d.client.Submit(ctx, request)
	if err != nil {
		return fmt.Errorf("submit the job: %w", err)
	}
	d.job.Store(&accepted.JobID)
	d.screen.sayf("server", "202 in %d ms: job %s is on disk", max(1, time.Since(begin).Milliseconds()), short(accepted.JobID))
	return nil
}

// killInTheMiddle waits until part of the answer has arrived, and kills the server.
func (d *demo) killInTheMiddle(ctx context.Context) error {
	call, err := d.calls.Wait(ctx, func(c simulate.Call) bool { return c.Number == 1 && c.Words >= killAt })
	if err != nil {
		return fmt.Errorf("wait for the first words of the answer: %w", err)
	}
	d.server.kill()
	d.screen.settle("provider", firstCall(call))
	d.screen.sayf("kill -9", "pid %d is dead, in the middle of the answer", d.server.pid)
	return nil
}

// takenBack waits until the new process has found the job that the old one left.
func (d *demo) takenBack(ctx context.Context) error {
	for {
		attempts, err := d.client.Attempts(ctx, *d.job.Load())
		if err != nil {
			return fmt.Errorf("read the ledger: %w", err)
		}
		if len(attempts) > 0 && attempts[0].Outcome == ringback.AttemptUncertain {
			break
		}
		if err := backoff.Pause(ctx, poll); err != nil {
			return fmt.Errorf("wait for attempt 1 to be marked uncertain: %w", err)
		}
	}
	page, err := d.client.List(ctx, client.Query{})
	if err != nil {
		return fmt.Errorf("list the jobs: %w", err)
	}
	unfinished := 0
	for _, job := range page.Data {
		if !job.Status.Terminal() {
			unfinished++
		}
	}
	jobs := fmt.Sprintf("%d jobs", unfinished)
	if unfinished == 1 {
		jobs = "1 job"
	}
	d.screen.sayf("server", "up again (pid %d): %s found; attempt 1 marked uncertain, repeated", d.server.pid, jobs)
	return nil
}

func (d *demo) secondCall(ctx context.Context) error {
	call, err := d.calls.Wait(ctx, func(c simulate.Call) bool { return c.Number == 2 && c.End != simulate.Running })
	if err != nil {
		return fmt.Errorf("wait for the second call: %w", err)
	}
	if call.End != simulate.Answered {
		return fmt.Errorf("the second call ended as %q", call.End)
	}
	// The webhook cannot come before its transaction is committed.
	if _, err := d.receiver.WaitFor(ctx, d.isTry(1)); err != nil {
		return fmt.Errorf("wait for the webhook: %w", err)
	}
	d.screen.settle("provider", secondCall(call)+"; answer and webhook stored in one transaction")
	return nil
}

// arrival waits until the webhook has been refused once, and then delivered.
func (d *demo) arrival(ctx context.Context) error {
	first, err := d.receiver.WaitFor(ctx, d.isTry(1))
	if err != nil {
		return fmt.Errorf("wait for the webhook: %w", err)
	}
	d.screen.sayf("receiver", "%s · %s · answers %d, as if it were being deployed", first.Type, signatures(first), first.Answer.Status)
	second, err := d.receiver.WaitFor(ctx, d.isTry(2))
	if err != nil {
		return fmt.Errorf("wait for the webhook's second try: %w", err)
	}
	same := "same webhook-id, same bytes"
	if second.ID != first.ID || string(second.Body) != string(first.Body) {
		same = "ANOTHER webhook-id or other bytes"
	}
	d.screen.sayf("receiver", "%s · %s · answers %d: delivered", second.Type, same, second.Answer.Status)
	return nil
}

// isTry reports whether a delivery is the n-th try of the story's webhook.
func (d *demo) isTry(n int) func(simulate.Delivery) bool {
	return func(got simulate.Delivery) bool { return got.JobID == *d.job.Load() && got.Try == n }
}

// answer returns the receiver's response: a 500 to the first try of the story's webhook.
func (d *demo) answer(got simulate.Delivery) simulate.Answer {
	if job := d.job.Load(); job != nil && *job == got.JobID && got.Try == 1 {
		return simulate.Answer{Status: http.StatusInternalServerError}
	}
	return simulate.Answer{Status: http.StatusOK}
}

// sawCall keeps book of the provider's calls, and shows how they go on.
func (d *demo) sawCall(c simulate.Call) {
	d.calls.Observe(c)
	switch {
	case c.Number == 1 && c.Words <= killAt && c.End == simulate.Running:
		d.screen.live("provider", firstCall(c))
	case c.Number == 2 && c.End == simulate.Running:
		d.screen.live("provider", secondCall(c))
	case c.Number > 2:
		d.showCall(c)
	}
}

func firstCall(c simulate.Call) string {
	words := strings.Fields(c.Text)
	return fmt.Sprintf("call 1: %q  %d of %d words", strings.Join(words[:min(10, len(words))], " ")+"…", c.Words, c.Of)
}

func secondCall(c simulate.Call) string { return fmt.Sprintf("call 2: %d of %d words", c.Words, c.Of) }

func signatures(got simulate.Delivery) string {
	if !got.Verified() {
		return "signatures NOT verified"
	}
	return "both signatures verified"
}

// short returns the beginning of an id.
func short(id string) string { return id[:min(8, len(id))] + "-…" }

func portOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Port()
}
