package storetest

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// The world of most promises: one project, one lane, one host.
const (
	project = "default"
	host    = "https://app.example:443"

	otherHost = "https://b.example:443"
)

var (
	lane     = store.Lane{Project: project, Provider: "sim", Model: "sim/echo"}
	slowLane = store.Lane{Project: project, Provider: "sim", Model: "sim/slow"}
)

// start is when every world begins.
var start = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// at returns a time, in seconds after the start.
func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// day in seconds, for at.
const day = 24 * 60 * 60

// retention is what the suite's stores are opened with: the default.
var retention = store.Retention{}.WithDefaults()

// newID makes a UUIDv7 of that millisecond. Ids of one world sort in the order of their
// making, and those of one millisecond begin with the same eight bytes: a store must
// distinguish them by the rest.
func (w *world) newID(t time.Time) uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], uint64(t.UnixMilli())<<16|0x7000)
	binary.BigEndian.PutUint64(id[8:], 1<<63|w.ids.Add(1))
	return id
}

// newJob returns a job as a client's request makes it, changed as the test wants. Derived
// fields are set afterwards: its first deadline and, if Node is set, that it starts
// running.
func (w *world) newJob(created time.Time, changes ...func(*store.Job)) store.NewJob {
	j := store.Job{
		ID:             w.newID(created),
		Project:        lane.Project,
		Provider:       lane.Provider,
		Protocol:       "anthropic",
		Model:          lane.Model,
		RequestedModel: "echo",
		Options: store.Options{
			CallbackURL:     host + "/hook",
			Host:            host,
			CallbackHeaders: map[string]string{"X-Tenant": "7"},
			ProviderHeaders: map[string]string{"anthropic-beta": "one,two"},
			Events:          ringback.TerminalEvents,
			WebhookBody:     ringback.WebhookFull,
			Timeout:         10 * time.Minute,
			MaxAttempts:     3,
			MaxWait:         time.Hour,
			ResultTTL:       24 * time.Hour,
			RetryUncertain:  ringback.RetryAlways,
			TraceParent:     "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			TraceState:      "congo=t61rcWkgMzE",
			Stream:          true,
			StreamTo:        otherHost + "/stream",
			StreamHost:      otherHost,
			OnDisconnect:    ringback.DisconnectCancel,
		},
		Metadata:  json.RawMessage(`{"order":"17"}`),
		Status:    ringback.Queued,
		CreatedAt: created,
		RunAt:     created,
		ExpiresAt: created.Add(7 * 24 * time.Hour),
	}
	for _, change := range changes {
		change(&j)
	}
	j.EndBy = j.ExpiresAt
	if j.Node != "" {
		j.Status, j.Fence = ringback.Running, 1
		j.StartedAt, j.FirstStartedAt = created, created
	}
	return store.NewJob{Job: j, Request: store.Pack(requestOf(j))}
}

// requestOf returns the provider's request of a job, different for each.
func requestOf(j store.Job) []byte {
	return []byte(`{"model":"` + j.Model + `","job":"` + j.ID.String() + `"}`)
}

func in(l store.Lane) func(*store.Job) {
	return func(j *store.Job) { j.Project, j.Provider, j.Model = l.Project, l.Provider, l.Model }
}

func claimedOn(node string) func(*store.Job) { return func(j *store.Job) { j.Node = node } }

func runAt(t time.Time) func(*store.Job) { return func(j *store.Job) { j.RunAt = t } }

func expiresAt(t time.Time) func(*store.Job) { return func(j *store.Job) { j.ExpiresAt = t } }

func withKey(key, hash string) func(*store.Job) {
	return func(j *store.Job) { j.IdempotencyKey, j.IdempotencyHash = key, []byte(hash) }
}

func to(host string) func(*store.Job) {
	return func(j *store.Job) { j.Options.Host, j.Options.CallbackURL = host, host+"/hook" }
}

// submit stores a new job.
func (w *world) submit(n store.NewJob) store.Job {
	w.Helper()
	j, replayed, err := w.Store().Submit(w.ctx(), n)
	w.ok(err)
	if replayed {
		w.Fatalf("Submit of a new job: got an earlier one, %s", j.ID)
	}
	return j
}

// submitNew makes a job and stores it.
func (w *world) submitNew(created time.Time, changes ...func(*store.Job)) store.Job {
	w.Helper()
	return w.submit(w.newJob(created, changes...))
}

// running makes a job that has been running since that time, under fence 1.
func (w *world) running(created time.Time, changes ...func(*store.Job)) store.Job {
	w.Helper()
	return w.submitNew(created, append(changes, claimedOn(w.node))...)
}

// claim claims up to n jobs of a lane.
func (w *world) claim(now time.Time, l store.Lane, n int) []store.Job {
	w.Helper()
	jobs, err := w.Store().Claim(w.ctx(), store.ClaimJobs{Node: w.node, Now: now, Lanes: []store.LaneWant{{Lane: l, N: n}}})
	w.ok(err)
	return jobs
}

// claimOne claims the one job that is due in the lane of most promises.
func (w *world) claimOne(now time.Time) store.Job {
	w.Helper()
	jobs := w.claim(now, lane, 2)
	if len(jobs) != 1 {
		w.Fatalf("Claim: got %d jobs, want 1", len(jobs))
	}
	return jobs[0]
}

// claimSuspects claims up to n suspects.
func (w *world) claimSuspects(now time.Time, n int) []store.Job {
	w.Helper()
	jobs, err := w.Store().Claim(w.ctx(), store.ClaimJobs{Node: w.node, Now: now, Suspects: n})
	w.ok(err)
	return jobs
}

// settle ends the attempt that j's row names.
func (w *world) settle(j store.Job, o store.Outcome) store.Job {
	w.Helper()
	settled, err := w.Store().Settle(w.ctx(), j.Ref(), always(o))
	w.ok(err)
	return settled
}

// settleFenced checks that the attempt that j's row names is over.
func (w *world) settleFenced(j store.Job, o store.Outcome) {
	w.Helper()
	_, err := w.Store().Settle(w.ctx(), j.Ref(), always(o))
	w.fails(err, store.ErrFenced)
}

// release frees a running job, in the name of the node that holds it.
func (w *world) release(j store.Job, decide store.Decide) store.Job {
	w.Helper()
	jobs, err := w.Store().Release(w.ctx(), j.Node, []store.Ref{j.Ref()}, decide)
	w.ok(err)
	if len(jobs) != 1 {
		w.Fatalf("Release: got %d jobs, want 1", len(jobs))
	}
	return jobs[0]
}

// read reads a job's row.
func (w *world) read(id uuid.UUID) store.Job {
	w.Helper()
	j, _, err := w.Store().Job(w.ctx(), project, id, 0)
	w.ok(err)
	return j
}

// allParts of a job's content.
const allParts = store.PartRequest | store.PartAnswer | store.PartPartial | store.PartWebhook | store.PartEvents

// content reads all of a job's content.
func (w *world) content(id uuid.UUID) store.Content {
	w.Helper()
	c, err := w.Store().Content(w.ctx(), id, allParts)
	w.ok(err)
	return c
}

// noContent checks that none of a job's content is there.
func (w *world) noContent(id uuid.UUID) {
	w.Helper()
	c, err := w.Store().Content(w.ctx(), id, allParts)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		w.Fatalf("Content: got error %v, want nothing or %q", err, store.ErrNotFound)
	}
	w.same("Content", c, store.Content{})
}

// ledger reads a job's attempts.
func (w *world) ledger(id uuid.UUID) []ringback.Attempt {
	w.Helper()
	attempts, err := w.Store().Attempts(w.ctx(), project, id, 0, 1000)
	w.ok(err)
	return attempts
}

// delivery reads the one delivery that a job must have, and its tries.
func (w *world) delivery(job uuid.UUID) (store.Delivery, []ringback.Try) {
	w.Helper()
	ds, tries, err := w.Store().JobDeliveries(w.ctx(), project, job)
	w.ok(err)
	if len(ds) != 1 || len(tries) != 1 {
		w.Fatalf("JobDeliveries: got %d deliveries with %d lists of tries, want 1", len(ds), len(tries))
	}
	return ds[0], tries[0]
}

// noDelivery checks that a job has none.
func (w *world) noDelivery(job uuid.UUID) {
	w.Helper()
	ds, _, err := w.Store().JobDeliveries(w.ctx(), project, job)
	w.ok(err)
	if len(ds) != 0 {
		w.Fatalf("JobDeliveries: got %d, want none", len(ds))
	}
}

func (w *world) waiting() store.Waiting {
	w.Helper()
	got, err := w.Store().Waiting(w.ctx())
	w.ok(err)
	return got
}

// always decides the same, whatever the row.
func always(o store.Outcome) store.Decide { return func(store.Job) store.Outcome { return o } }

// attempt returns the ledger's row of an attempt that ended, as its worker writes it.
func attempt(t time.Time, o ringback.AttemptOutcome) *ringback.Attempt {
	return &ringback.Attempt{EndedAt: ringback.Time{Time: t}, Outcome: o}
}

// completed ends a running job with an answer.
func completed(t time.Time, text string) store.Outcome {
	a := attempt(t, ringback.AttemptAnswered)
	a.FirstTokenAt = ringback.Time{Time: t.Add(-time.Millisecond)}
	a.StatusCode = 200
	a.Usage = json.RawMessage(`{"input_tokens":3,"output_tokens":5}`)
	a.ProviderRequestID = "req_1"
	return store.Outcome{
		At: t, Attempt: a, Status: ringback.Completed,
		Answer: store.Pack([]byte(text)), AnswerModel: "echo-2026", Usage: a.Usage,
	}
}

// failed ends a running job for good.
func failed(t time.Time) store.Outcome {
	a := attempt(t, ringback.AttemptFailed)
	a.StatusCode, a.Error = 400, "max_tokens is too large"
	return store.Outcome{
		At: t, Attempt: a, Status: ringback.Failed, Error: "The provider rejected the request.",
		ErrorDetail: &ringback.ErrorDetail{Code: ringback.CodeProviderRejected, Type: "invalid_request_error", StatusCode: 400, Attempts: 1},
	}
}

// retried sends a running job back to wait, at the cost of an attempt.
func retried(t, again time.Time) store.Outcome {
	a := attempt(t, ringback.AttemptFailed)
	a.StatusCode, a.Error = 500, "internal server error"
	return store.Outcome{At: t, Attempt: a, Status: ringback.Queued, RunAt: again, Failed: true}
}

// refused sends a running job back to wait, at no cost.
func refused(t, again time.Time) store.Outcome {
	a := attempt(t, ringback.AttemptRefused)
	a.StatusCode, a.Error = 429, "rate limit"
	return store.Outcome{At: t, Attempt: a, Status: ringback.Queued, RunAt: again, Refused: true}
}

// released sends back a running job for which no byte was sent.
func released(t time.Time) store.Outcome {
	return store.Outcome{At: t, Attempt: attempt(t, ringback.AttemptReleased), Status: ringback.Queued, RunAt: t}
}

// uncertain sends back a running job whose process died.
func uncertain(t time.Time) store.Outcome {
	return store.Outcome{At: t, Attempt: attempt(t, ringback.AttemptUncertain), Status: ringback.Queued, RunAt: t}
}

// cancelled ends a job that was cancelled, running or not.
func cancelled(t time.Time) store.Decide {
	return func(j store.Job) store.Outcome {
		o := store.Outcome{At: t, Status: ringback.Cancelled, Error: "The job was cancelled."}
		if j.Status == ringback.Running {
			o.Attempt = attempt(t, ringback.AttemptCancelled)
		}
		return o
	}
}

// expired ends a waiting job.
func expired(t time.Time) store.Decide {
	return always(store.Outcome{At: t, Status: ringback.Expired, Error: "The job expired while it waited."})
}

// freed decides as a restart does: it cancels a job whose cancellation was requested.
func freed(t time.Time) store.Decide {
	return func(j store.Job) store.Outcome {
		if j.CancelRequested {
			return cancelled(t)(j)
		}
		o := uncertain(t)
		if j.Uncertain+1 < store.SuspectAfter {
			o.RunAt = earlier(j.RunAt, t) // it keeps its turn
		}
		return o
	}
}

// deliveryID is derived from job and event, and begins like the job's id.
func deliveryID(job uuid.UUID, e ringback.EventType) uuid.UUID {
	sum := sha256.Sum256(append(job[:], e...))
	copy(sum[:8], job[:8])
	return uuid.UUID(sum[:16])
}

// newDelivery returns the webhook that a job's end causes.
func newDelivery(j store.Job, s ringback.Status, made time.Time) *store.NewDelivery {
	return &store.NewDelivery{
		ID: deliveryID(j.ID, ringback.EventOf(s)), Event: ringback.EventOf(s),
		URL: j.Options.CallbackURL, Host: j.Options.Host,
		Body: store.Pack(webhookOf(j, s, made)), Form: j.Options.WebhookBody,
		MadeAt: made,
	}
}

// logged adds the log of what has happened to an outcome.
func logged(o store.Outcome, log string) store.Outcome {
	o.Events = store.Pack([]byte(log))
	return o
}

// webhookOf returns a different body for each job, status and time.
func webhookOf(j store.Job, s ringback.Status, made time.Time) []byte {
	return []byte(`{"type":"` + string(ringback.EventOf(s)) + `","timestamp":"` + made.Format(time.RFC3339Nano) + `","job_id":"` + j.ID.String() + `"}`)
}

// notified returns a completion with its webhook.
func notified(j store.Job, t time.Time) store.Outcome {
	o := completed(t, "hello")
	o.Delivery = newDelivery(j, o.Status, t)
	return o
}

// delivering makes a job that has ended at that time, with its webhook due.
func (w *world) delivering(t time.Time, changes ...func(*store.Job)) store.Job {
	w.Helper()
	j := w.running(t, changes...)
	return w.settle(j, notified(j, t))
}

// claimDeliveries claims up to n deliveries to the host of most promises.
func (w *world) claimDeliveries(now time.Time, n int) []store.Delivery {
	w.Helper()
	return w.claimHosts(now, store.HostWant{Host: store.Host{Project: project, Host: host}, N: n})
}

func (w *world) claimHosts(now time.Time, wants ...store.HostWant) []store.Delivery {
	w.Helper()
	ds, err := w.Store().ClaimDeliveries(w.ctx(), store.ClaimHosts{Node: w.node, Now: now, Hosts: wants})
	w.ok(err)
	return ds
}

// claimDelivery claims the one delivery that is due.
func (w *world) claimDelivery(now time.Time) store.Delivery {
	w.Helper()
	ds := w.claimDeliveries(now, 2)
	if len(ds) != 1 {
		w.Fatalf("ClaimDeliveries: got %d, want 1", len(ds))
	}
	return ds[0]
}

func (w *world) settleDelivery(d store.Delivery, e store.TryEnd) store.Delivery {
	w.Helper()
	settled, err := w.Store().SettleDelivery(w.ctx(), d.Ref(), e)
	w.ok(err)
	return settled
}

// releaseDelivery makes a delivery due again, in the name of the node that has it in
// flight.
func (w *world) releaseDelivery(d store.Delivery, now time.Time) {
	w.Helper()
	n, err := w.Store().ReleaseDeliveries(w.ctx(), d.Node, []store.Ref{d.Ref()}, now)
	w.ok(err)
	w.same("how many deliveries were freed", n, 1)
}

func (w *world) redeliver(id uuid.UUID, now time.Time) {
	w.Helper()
	w.ok(w.Store().Redeliver(w.ctx(), project, id, store.Redelivery{Now: now}))
}

// try returns one POST that had an answer.
func try(t time.Time, code int) ringback.Try {
	return ringback.Try{At: ringback.Time{Time: t}, StatusCode: code, DurationMS: 12, Response: "a word of the receiver"}
}

func delivered(t time.Time) store.TryEnd {
	return store.TryEnd{At: t, Try: try(t, 200), Status: ringback.DeliveryDelivered}
}

func tryAgain(t, next time.Time) store.TryEnd {
	e := store.TryEnd{At: t, Try: try(t, 500), Status: ringback.DeliveryPending, NextAt: next}
	e.Try.Error = "status"
	return e
}

func dead(t time.Time) store.TryEnd {
	e := store.TryEnd{At: t, Try: try(t, 410), Status: ringback.DeliveryDead}
	e.Try.Error = "status"
	return e
}

// sameness is how values are compared: an empty list equals no list, and JSON is compared
// by its value.
var sameness = gocmp.Options{
	cmpopts.EquateEmpty(),
	gocmp.FilterValues(
		func(a, b json.RawMessage) bool { return len(a) > 0 && len(b) > 0 },
		gocmp.Transformer("JSON", func(raw json.RawMessage) any {
			var v any
			if json.Unmarshal(raw, &v) != nil {
				return string(raw)
			}
			return v
		})),
}

// same checks that two whole values are equal.
func (w *world) same(what string, got, want any) {
	w.Helper()
	if reflect.DeepEqual(got, want) { // nearly always, and ten times as fast
		return
	}
	if diff := gocmp.Diff(want, got, sameness); diff != "" {
		w.Fatalf("%s: difference (-want +got):\n%s", what, diff)
	}
}

// ids returns the ids of jobs, in their order.
func ids(jobs []store.Job) []uuid.UUID {
	var out []uuid.UUID
	for _, j := range jobs {
		out = append(out, j.ID)
	}
	return out
}

// deliveryIDs returns the ids of deliveries, in their order.
func deliveryIDs(ds []store.Delivery) []uuid.UUID {
	var out []uuid.UUID
	for _, d := range ds {
		out = append(out, d.ID)
	}
	return out
}

// sorted is for lists whose order is not promised.
func sorted(ids []uuid.UUID) []uuid.UUID {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return cmp.Compare(a.String(), b.String()) })
	return ids
}
