package delivery

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/joblog"
	"github.com/ringback/ringback/internal/metrics"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/telemetry"
	"github.com/ringback/ringback/internal/webhook"
)

const (
	// progressEvery is the shortest time between two webhooks of a job that runs.
	progressEvery = 500 * time.Millisecond
	// progressPause bounds the time between them if the receiver takes none.
	progressPause = 30 * time.Second
	// progressTry is how long one may take: the next one says the same, and more.
	progressTry = 5 * time.Second
)

// Events are those of a job that runs.
type Events interface {
	// Last returns the last one; the zero EventID if there is none.
	Last() ringback.EventID
	// Next returns those after one, or waits for them.
	Next(ctx context.Context, after ringback.EventID) ([]ringback.StreamEvent, error)
}

// notifier sends the webhooks of one attempt while it runs: job.started and job.progress.
// It has at most one on its way, so they arrive in order; what comes in the meantime is in
// the next one, if there is a next one.
//
// Their outcome is not reported to the host's gate. A receiver that does not know them, or
// is slow with them, must still get the ends of jobs; and one that takes them may still fail
// at those.
type notifier struct {
	dispatcher *Dispatcher
	job        *store.Job
	session    Session
	events     Events
	after      ringback.EventID // the last event that was read
	blocks     map[int]*strings.Builder
	pause      time.Duration
}

// Notify begins to send webhooks about an attempt that runs. quiet ends that: no webhook is
// on its way once it has returned.
func (d *Dispatcher) Notify(j *store.Job, events Events, s Session) (quiet func()) {
	if !j.Options.Wants(ringback.EventStarted) && !j.Options.Wants(ringback.EventProgress) {
		return func() {}
	}
	ctx, end := context.WithCancel(s.Context())
	n := &notifier{dispatcher: d, job: j, session: s, events: events, after: events.Last(), blocks: map[int]*strings.Builder{}, pause: progressEvery}
	done := make(chan struct{})
	d.cfg.Group.Go(func() error {
		defer close(done)
		_ = d.cfg.Supervisor.Guarded("push a webhook", func() error { n.run(ctx); return nil }, "job_id", j.ID)
		return nil
	})
	return func() { end(); <-done }
}

func (n *notifier) run(ctx context.Context) {
	next := time.Now()
	if n.job.Options.Wants(ringback.EventStarted) {
		n.send(ctx, ringback.EventStarted)
		next = next.Add(n.pause)
	}
	if !n.job.Options.Wants(ringback.EventProgress) {
		return
	}
	for n.hasMore(ctx) && sleepUntil(ctx, next) {
		for n.events.Last().Compare(n.after) > 0 && n.read(ctx) == nil {
		}
		next = time.Now()
		n.send(ctx, ringback.EventProgress)
		next = next.Add(n.pause)
	}
}

// sleepUntil sleeps until a time of this process's clock. It returns false if ctx ends first.
func sleepUntil(ctx context.Context, at time.Time) bool {
	if d := time.Until(at); d > 0 {
		return backoff.Sleep(ctx, d)
	}
	return ctx.Err() == nil
}

// hasMore waits for more text.
func (n *notifier) hasMore(ctx context.Context) bool {
	for had := n.size(); n.size() == had; {
		if n.read(ctx) != nil {
			return false
		}
	}
	return true
}

// read reads the events that have come, or waits for some.
func (n *notifier) read(ctx context.Context) error {
	events, err := n.events.Next(ctx, n.after)
	for _, e := range events {
		n.after = e.EventID
		if e.Delta == nil || e.Kind != ringback.DeltaText {
			continue
		}
		if n.blocks[e.Index] == nil {
			n.blocks[e.Index] = &strings.Builder{}
		}
		n.blocks[e.Index].WriteString(e.Text)
	}
	return err
}

func (n *notifier) size() (size int) {
	for _, b := range n.blocks {
		size += b.Len()
	}
	return size
}

// text returns the answer so far.
func (n *notifier) text() string {
	var all strings.Builder
	all.Grow(n.size())
	for _, i := range slices.Sorted(maps.Keys(n.blocks)) {
		all.WriteString(n.blocks[i].String())
	}
	return all.String()
}

// send makes one try, if there is a slot that no delivery needs.
func (n *notifier) send(ctx context.Context, event ringback.EventType) {
	d, kind := n.dispatcher, metrics.PushProgress
	if event == ringback.EventStarted {
		kind = metrics.PushStarted
	}
	p := d.scheduler.takeSpare(store.Host{Project: n.job.Project, Host: n.job.Options.Host})
	if p == nil {
		d.cfg.Pushes.Count(kind, metrics.PushDropped)
		return
	}
	defer func() {
		d.giveBack(p)
		d.Wake()
	}()
	if !n.session.Leased() { // by now: another node may run the job
		d.cfg.Pushes.Count(kind, metrics.PushDropped)
		return
	}
	res, err := n.try(ctx, event)
	if err != nil {
		d.log.Warn("webhook not pushed", "job_id", n.job.ID, "event", event, "err", err)
	}
	n.recordTry(ctx, kind, res)
}

func (n *notifier) try(ctx context.Context, event ringback.EventType) (webhook.Result, error) {
	body, err := webhook.Body(n.event(event))
	if err != nil {
		return webhook.Result{}, err
	}
	d, o := n.dispatcher, &n.job.Options
	held := d.cfg.Memory.Grant()
	held.Force(int64(len(body)))
	defer held.Release()
	header := webhook.HeadersOf(o.CallbackHeaders)
	if header.Get(telemetry.HeaderTraceParent) == "" {
		telemetry.SetTrace(header, o.TraceParent, o.TraceState)
	}
	ctx, cancel := context.WithTimeout(ctx, progressTry)
	defer cancel()
	return d.cfg.Sender.Send(ctx, webhook.Message{
		At: d.clock.Now(), ID: webhook.PushID(n.job.ID, event, n.after).String(), URL: o.CallbackURL, Body: body,
		Header: header, Secrets: d.cfg.Secrets,
	}), nil
}

func (n *notifier) event(event ringback.EventType) ringback.Event {
	d := n.dispatcher
	e := d.cfg.Outbox.event(event, n.job, Content{Partial: n.text()}, d.clock.Stamped(), n.job.Options.WebhookBody)
	e.Attempt, e.Number = n.after.Attempt, n.after.Number
	return e
}

// recordTry logs and counts a try, and sets the pause behind it: a receiver that takes none
// gets fewer and fewer.
func (n *notifier) recordTry(ctx context.Context, kind string, res webhook.Result) {
	d := n.dispatcher
	switch {
	case res.Verdict == webhook.Delivered:
		n.pause = progressEvery
		d.cfg.Pushes.Count(kind, metrics.PushSent)
		return
	case ctx.Err() != nil:
		d.cfg.Pushes.Count(kind, metrics.PushCut)
		return
	}
	d.cfg.Pushes.Count(kind, metrics.PushFailed)
	n.pause = min(max(2*n.pause, res.RetryAfter), progressPause)
	joblog.Record(d.log, "webhook not pushed", n.job, slog.String("event", "job."+kind), slog.String("host", n.job.Options.Host),
		slog.Int("status_code", res.StatusCode), slog.String("error", string(res.Class)), slog.Any("err", res.Cause))
}
