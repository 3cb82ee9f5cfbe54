package node

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/live"
	"github.com/ringback/ringback/internal/metrics"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
	"github.com/ringback/ringback/internal/telemetry"
	"github.com/ringback/ringback/internal/webhook"
)

const (
	// progressEvery is the shortest time between two webhooks of a job that runs.
	progressEvery = 500 * time.Millisecond
	// progressPause bounds the time between them where the receiver takes none.
	progressPause = 30 * time.Second
	// progressTry is how long one may take: the next one says the same, and more.
	progressTry = 5 * time.Second
)

// notifier is the webhooks of one attempt while it runs: job.started and job.progress.
// It has at most one on its way, so they arrive in order; what comes meanwhile is in
// the next one, if there is a next one.
//
// What becomes of them tells the host's gate nothing. A receiver that does not know
// them, or is slow with them, is not to be held back from the ends of jobs; and one
// that takes them may still fail at those.
type notifier struct {
	node    *Node
	job     *store.Job
	session session
	writer  *live.Writer
	after   ringback.EventID // the last event that was read
	blocks  map[int]*strings.Builder
	pause   time.Duration
}

// notifyReceiver begins to tell the caller's receiver how an attempt goes. Quiet ends
// that; behind it nothing is sent any more.
func (n *Node) notifyReceiver(j *store.Job, w *live.Writer, l session) (quiet func()) {
	if w == nil || !j.Options.Wants(ringback.EventStarted) && !j.Options.Wants(ringback.EventProgress) {
		return func() {}
	}
	ctx, end := context.WithCancel(l.Context())
	t := &notifier{node: n, job: j, session: l, writer: w, after: w.Last(), blocks: map[int]*strings.Builder{}, pause: progressEvery}
	done := make(chan struct{})
	n.group.Go(func() error {
		defer close(done)
		_ = n.supervisor.Guarded("push a webhook", func() error { t.run(ctx); return nil }, "job_id", j.ID)
		return nil
	})
	return func() { end(); <-done }
}

func (t *notifier) run(ctx context.Context) {
	next := time.Now()
	if t.job.Options.Wants(ringback.EventStarted) {
		t.send(ctx, ringback.EventStarted)
		next = next.Add(t.pause)
	}
	if !t.job.Options.Wants(ringback.EventProgress) {
		return
	}
	for t.hasMore(ctx) && until(ctx, next) {
		for t.writer.Last().Compare(t.after) > 0 && t.read(ctx) == nil {
		}
		next = time.Now()
		t.send(ctx, ringback.EventProgress)
		next = next.Add(t.pause)
	}
}

// hasMore waits for more text.
func (t *notifier) hasMore(ctx context.Context) bool {
	for had := t.size(); t.size() == had; {
		if t.read(ctx) != nil {
			return false
		}
	}
	return true
}

// read takes what there is of the log, or waits for it.
func (t *notifier) read(ctx context.Context) error {
	events, err := t.writer.Next(ctx, t.after)
	for _, e := range events {
		t.after = e.EventID
		if e.Delta == nil || e.Kind != ringback.DeltaText {
			continue
		}
		if t.blocks[e.Index] == nil {
			t.blocks[e.Index] = &strings.Builder{}
		}
		t.blocks[e.Index].WriteString(e.Text)
	}
	return err
}

func (t *notifier) size() (n int) {
	for _, b := range t.blocks {
		n += b.Len()
	}
	return n
}

// text is the answer so far.
func (t *notifier) text() string {
	var all strings.Builder
	all.Grow(t.size())
	for _, i := range slices.Sorted(maps.Keys(t.blocks)) {
		all.WriteString(t.blocks[i].String())
	}
	return all.String()
}

// send makes one try, where there is a slot that nobody needs.
func (t *notifier) send(ctx context.Context, event ringback.EventType) {
	n, kind := t.node, metrics.PushProgress
	if event == ringback.EventStarted {
		kind = metrics.PushStarted
	}
	permit := n.deliveries.takeSpare(store.Host{Project: t.job.Project, Host: t.job.Options.Host})
	if permit == nil {
		n.metrics.Pushes.Count(kind, metrics.PushDropped)
		return
	}
	defer func() {
		n.giveBack(permit)
		supervise.Wake(n.wakeDeliveries)
	}()
	if !t.session.Leased() { // by now: another node may run the job
		n.metrics.Pushes.Count(kind, metrics.PushDropped)
		return
	}
	res, err := t.try(ctx, event)
	if err != nil {
		n.log.Warn("webhook not pushed", "job_id", t.job.ID, "event", event, "err", err)
	}
	t.recordTry(ctx, kind, res)
}

func (t *notifier) try(ctx context.Context, event ringback.EventType) (webhook.Result, error) {
	body, err := webhook.Body(t.event(event))
	if err != nil {
		return webhook.Result{}, err
	}
	held := t.node.memory.Webhooks.Grant()
	held.Force(int64(len(body)))
	defer held.Release()
	ctx, cancel := context.WithTimeout(ctx, progressTry)
	defer cancel()
	return t.node.cfg.Sender.Send(ctx, webhook.Message{
		At: t.node.clock.Now(), ID: webhook.PushID(t.job.ID, event, t.after).String(), URL: t.job.Options.CallbackURL, Body: body,
		Header: pushHeader(t.job, t.job.Options.Host), Secrets: t.node.cfg.Secrets,
	}), nil
}

func (t *notifier) event(event ringback.EventType) ringback.Event {
	e := t.node.event(event, t.job, content{partial: t.text()}, t.node.clock.Stamped(), t.job.Options.WebhookBody)
	e.Attempt, e.Number = t.after.Attempt, t.after.Number
	return e
}

// recordTry says what a try leads to: a receiver that takes none is asked more and more
// seldom.
func (t *notifier) recordTry(ctx context.Context, kind string, res webhook.Result) {
	n := t.node
	switch {
	case res.Verdict == webhook.Delivered:
		t.pause = progressEvery
		n.metrics.Pushes.Count(kind, metrics.PushSent)
		return
	case ctx.Err() != nil:
		n.metrics.Pushes.Count(kind, metrics.PushCut)
		return
	}
	n.metrics.Pushes.Count(kind, metrics.PushFailed)
	t.pause = min(max(2*t.pause, res.RetryAfter), progressPause)
	n.record("webhook not pushed", t.job, slog.String("event", "job."+kind), slog.String("host", t.job.Options.Host),
		slog.Int("status_code", res.StatusCode), slog.String("error", string(res.Class)), slog.Any("err", res.Cause))
}

// pushHeader are the headers that the caller adds to what goes to a host: those for
// the callback URL go nowhere else.
func pushHeader(j *store.Job, host string) http.Header {
	header := webhook.HeadersOf(j.Options.HeadersFor(host))
	if header.Get(telemetry.HeaderTraceParent) == "" {
		telemetry.SetTrace(header, j.Options.TraceParent, j.Options.TraceState)
	}
	return header
}

// until sleeps until a time of this process's clock; false if ctx ends first.
func until(ctx context.Context, at time.Time) bool {
	if d := time.Until(at); d > 0 {
		return backoff.Sleep(ctx, d)
	}
	return ctx.Err() == nil
}

// takeSpare takes a slot for a webhook that may as well not be sent: one that leaves
// half of all slots to deliveries, with none of those waiting, at a host that is not on
// hold. Nil if there is none.
func (s *sendScheduler) takeSpare(h store.Host) *sendPermit {
	s.mu.Lock()
	defer s.mu.Unlock()
	to := s.host(h)
	_, _, held := to.gate.Held()
	unproven := !to.gate.Proven()
	if held || to.queued > 0 || s.backlog[h] > 0 || to.out >= slotsPerHost/2 ||
		s.taken >= deliverySlots/2 || unproven && s.unproven >= unprovenSlots/2 {
		return nil
	}
	p := &sendPermit{scheduler: s, host: h}
	if !s.enter(p, to) {
		return nil
	}
	return p
}

// isHeld tells whether a host is on hold.
func (s *sendScheduler) isHeld(h store.Host) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _, held := s.host(h).gate.Held()
	return held
}
