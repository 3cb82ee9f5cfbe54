package postgres

import (
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
)

const noID = `'00000000-0000-0000-0000-000000000000'`

// jobColumns are the columns, of the table t, that scanJob reads, without values that are
// too large. (The size of a value that is stored out of line is known without reading it.)
const jobColumns = `t.id, t.project, t.provider, t.protocol, t.model, t.requested_model,
	CASE WHEN octet_length(t.fallbacks) <= ` + store.MostText + ` THEN t.fallbacks END,
	CASE WHEN octet_length(t.options) <= ` + store.MostOptions + ` THEN t.options END,
	CASE WHEN octet_length(t.metadata) <= ` + store.MostMetadata + ` THEN t.metadata END,
	t.status, t.fence, t.node, t.cancel_requested,
	t.created_at, t.run_at, t.first_started_at, t.started_at, t.ended_at, t.first_refused_at, t.expires_at, t.end_by,
	t.failures, t.attempts, t.uncertain,
	CASE WHEN octet_length(t.answer_model) <= ` + store.MostName + ` THEN t.answer_model ELSE '' END,
	CASE WHEN octet_length(t.usage) <= ` + store.MostUsage + ` THEN t.usage END, t.duration_ms,
	CASE WHEN octet_length(t.error) <= ` + store.MostText + ` THEN t.error ELSE 'its error is too large to be shown' END,
	CASE WHEN octet_length(t.error_detail) <= ` + store.MostText + ` THEN t.error_detail END,
	t.content_until, t.row_until, t.content_gone,
	CASE WHEN octet_length(t.idempotency_key) <= ` + store.MostName + ` THEN t.idempotency_key ELSE '' END, t.idempotency_hash,
	t.priority, coalesce(t.replay_of, ` + noID + `), coalesce(t.replayed_by, ` + noID + `)`

// scanJob reads a row of jobColumns; store.ErrNotFound if there is none.
func scanJob(row pgx.Row) (store.Job, error) {
	var j store.Job
	var id, replayOf, replayedBy [16]byte
	var fallbacks, options, metadata, usage, detail []byte
	var status int16
	var created, run, firstStarted, started, ended, refused, expires, endBy, content, rowUntil int64
	err := row.Scan(&id, &j.Project, &j.Provider, &j.Protocol, &j.Model, &j.RequestedModel, &fallbacks, &options, &metadata,
		&status, &j.Fence, &j.Node, &j.CancelRequested,
		&created, &run, &firstStarted, &started, &ended, &refused, &expires, &endBy,
		&j.Failures, &j.Attempts, &j.Uncertain, &j.AnswerModel, &usage, &j.DurationMS, &j.Error, &detail,
		&content, &rowUntil, &j.ContentGone, &j.IdempotencyKey, &j.IdempotencyHash,
		&j.Priority, &replayOf, &replayedBy)
	if errors.Is(err, pgx.ErrNoRows) {
		return j, store.ErrNotFound
	}
	if err != nil {
		return j, fmt.Errorf("read a job: %w", err)
	}
	j.ID, j.ReplayOf, j.ReplayedBy = id, replayOf, replayedBy
	j.Status = column.Status(int(status))
	j.CreatedAt, j.RunAt, j.FirstStartedAt, j.StartedAt = column.Time(created), column.Time(run), column.Time(firstStarted), column.Time(started)
	j.EndedAt, j.FirstRefusedAt, j.ExpiresAt, j.EndBy = column.Time(ended), column.Time(refused), column.Time(expires), column.Time(endBy)
	j.ContentUntil, j.RowUntil = column.Time(content), column.Time(rowUntil)
	store.Sized{Fallbacks: fallbacks, Options: options, Metadata: metadata, Usage: usage, Detail: detail}.Into(&j)
	return j, nil
}

func codeColumn(d *ringback.ErrorDetail) string {
	if d == nil {
		return ""
	}
	return string(d.Code)
}

// optionsColumn keeps a job unreadable that was imported as such.
func optionsColumn(j *job) string {
	if j.Unreadable != "" {
		return store.NoOptions
	}
	return column.JSON(j.Options)
}

type job = store.Job

var insertJobs = insertInto("jobs", "",
	id("id", func(j *job) uuid.UUID { return j.ID }),
	text("project", func(j *job) string { return j.Project }),
	text("provider", func(j *job) string { return j.Provider }),
	text("protocol", func(j *job) string { return j.Protocol }),
	text("model", func(j *job) string { return j.Model }),
	text("requested_model", func(j *job) string { return j.RequestedModel }),
	text("fallbacks", func(j *job) string { return column.Models(j.Fallbacks) }),
	text("options", optionsColumn),
	text("metadata", func(j *job) string { return string(j.Metadata) }),
	smallint("status", func(j *job) int { return column.Statuses[j.Status] }),
	bigint("fence", func(j *job) int64 { return j.Fence }),
	text("node", func(j *job) string { return j.Node }),
	boolean("cancel_requested", func(j *job) bool { return j.CancelRequested }),
	bigint("created_at", func(j *job) int64 { return column.MS(j.CreatedAt) }),
	bigint("run_at", func(j *job) int64 { return column.MS(j.RunAt) }),
	bigint("first_started_at", func(j *job) int64 { return column.MS(j.FirstStartedAt) }),
	bigint("started_at", func(j *job) int64 { return column.MS(j.StartedAt) }),
	bigint("ended_at", func(j *job) int64 { return column.MS(j.EndedAt) }),
	bigint("first_refused_at", func(j *job) int64 { return column.MS(j.FirstRefusedAt) }),
	bigint("expires_at", func(j *job) int64 { return column.MS(j.ExpiresAt) }),
	bigint("end_by", func(j *job) int64 { return column.MS(j.EndBy) }),
	integer("failures", func(j *job) int { return j.Failures }),
	integer("attempts", func(j *job) int { return j.Attempts }),
	integer("uncertain", func(j *job) int { return j.Uncertain }),
	text("answer_model", func(j *job) string { return clean(j.AnswerModel) }),
	text("usage", func(j *job) string { return string(j.Usage) }),
	bigint("duration_ms", func(j *job) int64 { return j.DurationMS }),
	text("error", func(j *job) string { return clean(j.Error) }),
	text("error_detail", func(j *job) string { return column.Detail(j.ErrorDetail) }),
	text("error_code", func(j *job) string { return codeColumn(j.ErrorDetail) }),
	bigint("content_until", func(j *job) int64 { return column.MS(j.ContentUntil) }),
	bigint("row_until", func(j *job) int64 { return column.MS(j.RowUntil) }),
	boolean("content_gone", func(j *job) bool { return j.ContentGone }),
	text("idempotency_key", func(j *job) string { return j.IdempotencyKey }).orNull(`''`),
	binary("idempotency_hash", func(j *job) []byte { return j.IdempotencyHash }),
	smallint("priority", func(j *job) int { return j.Priority }),
	id("replay_of", func(j *job) uuid.UUID { return j.ReplayOf }).orNull(noID),
	id("replayed_by", func(j *job) uuid.UUID { return j.ReplayedBy }).orNull(noID),
)

// updateJobs writes the moves' changes, if the row is unchanged.
var updateJobs = update("jobs", "t.status = d.was_status AND t.fence = d.was_fence AND t.cancel_requested = d.was_cancelled",
	id("id", func(j **jobRow) uuid.UUID { return (*j).ID }),
	[]boundColumn[*jobRow]{
		smallint("was_status", func(j **jobRow) int { return int((*j).was.status) }),
		bigint("was_fence", func(j **jobRow) int64 { return (*j).was.fence }),
		boolean("was_cancelled", func(j **jobRow) bool { return (*j).was.cancelled }),
	},
	text("provider", func(j **jobRow) string { return (*j).Provider }),
	text("model", func(j **jobRow) string { return (*j).Model }),
	text("fallbacks", func(j **jobRow) string { return column.Models((*j).Fallbacks) }),
	smallint("status", func(j **jobRow) int { return column.Statuses[(*j).Status] }),
	bigint("fence", func(j **jobRow) int64 { return (*j).Fence }),
	text("node", func(j **jobRow) string { return (*j).Node }),
	boolean("cancel_requested", func(j **jobRow) bool { return (*j).CancelRequested }),
	bigint("run_at", func(j **jobRow) int64 { return column.MS((*j).RunAt) }),
	bigint("first_started_at", func(j **jobRow) int64 { return column.MS((*j).FirstStartedAt) }),
	bigint("started_at", func(j **jobRow) int64 { return column.MS((*j).StartedAt) }),
	bigint("ended_at", func(j **jobRow) int64 { return column.MS((*j).EndedAt) }),
	bigint("first_refused_at", func(j **jobRow) int64 { return column.MS((*j).FirstRefusedAt) }),
	bigint("end_by", func(j **jobRow) int64 { return column.MS((*j).EndBy) }),
	integer("failures", func(j **jobRow) int { return (*j).Failures }),
	integer("attempts", func(j **jobRow) int { return (*j).Attempts }),
	integer("uncertain", func(j **jobRow) int { return (*j).Uncertain }),
	text("answer_model", func(j **jobRow) string { return clean((*j).AnswerModel) }),
	text("usage", func(j **jobRow) string { return string((*j).Usage) }),
	bigint("duration_ms", func(j **jobRow) int64 { return (*j).DurationMS }),
	text("error", func(j **jobRow) string { return clean((*j).Error) }),
	text("error_detail", func(j **jobRow) string { return column.Detail((*j).ErrorDetail) }),
	text("error_code", func(j **jobRow) string { return codeColumn((*j).ErrorDetail) }),
	bigint("content_until", func(j **jobRow) int64 { return column.MS((*j).ContentUntil) }),
	id("replayed_by", func(j **jobRow) uuid.UUID { return (*j).ReplayedBy }).orNull(noID),
)

// attemptRow is an attempt that ends.
type attemptRow struct {
	job *store.Job // as it ran
	store.Outcome
}

var insertAttempts = insertInto("attempts", "",
	id("job", func(a *attemptRow) uuid.UUID { return a.job.ID }),
	bigint("number", func(a *attemptRow) int64 { return a.job.Fence }),
	text("node", func(a *attemptRow) string { return a.job.Node }),
	text("provider", func(a *attemptRow) string { return a.job.Provider }),
	text("model", func(a *attemptRow) string { return a.job.Model }),
	bigint("started_at", func(a *attemptRow) int64 { return column.MS(a.job.StartedAt) }),
	bigint("first_token_at", func(a *attemptRow) int64 { return column.MS(a.Attempt.FirstTokenAt.Time) }),
	bigint("ended_at", func(a *attemptRow) int64 { return column.MS(a.At) }),
	text("outcome", func(a *attemptRow) string { return string(a.Attempt.Outcome) }),
	integer("status_code", func(a *attemptRow) int { return a.Attempt.StatusCode }),
	text("error", func(a *attemptRow) string { return clean(a.Attempt.Error) }),
	text("usage", func(a *attemptRow) string { return string(a.Attempt.Usage) }),
	text("provider_request_id", func(a *attemptRow) string { return clean(a.Attempt.ProviderRequestID) }),
)

// deliveryColumns are the columns, of the table t, that scanDelivery reads.
const deliveryColumns = `t.id, t.job, t.project, t.host,
	CASE WHEN octet_length(t.url) <= ` + store.MostText + ` THEN t.url ELSE '' END, t.event, t.status, t.fence, t.in_flight, t.node, t.manual,
	t.made_at, t.next_at, t.ended_at, t.tries, t.sent, t.blocked, t.last_status, t.reason, t.gone, t.form, coalesce(t.due_at, -1)`

func scanDelivery(row pgx.Row) (deliveryRow, error) {
	var d deliveryRow
	var id, job [16]byte
	var status int16
	var made, next, ended int64
	err := row.Scan(&id, &job, &d.Project, &d.Host, &d.URL, &d.Event, &status, &d.Fence, &d.InFlight, &d.Node, &d.Manual,
		&made, &next, &ended, &d.Tries, &d.Sent, &d.Blocked, &d.LastStatusCode, &d.Reason, &d.Gone, &d.Form, &d.due)
	if errors.Is(err, pgx.ErrNoRows) {
		return d, store.ErrNotFound
	}
	if err != nil {
		return d, fmt.Errorf("read a delivery: %w", err)
	}
	d.ID, d.JobID, d.Status = id, job, column.DeliveryStatus(int(status))
	d.MadeAt, d.NextAt, d.EndedAt = column.Time(made), column.Time(next), column.Time(ended)
	d.was = d.Fence
	return d, nil
}

var insertDeliveries = insertInto("deliveries", "",
	id("id", func(d *deliveryRow) uuid.UUID { return d.ID }),
	id("job", func(d *deliveryRow) uuid.UUID { return d.JobID }),
	text("project", func(d *deliveryRow) string { return d.Project }),
	text("host", func(d *deliveryRow) string { return d.Host }),
	text("url", func(d *deliveryRow) string { return d.URL }),
	text("event", func(d *deliveryRow) string { return string(d.Event) }),
	smallint("status", func(d *deliveryRow) int { return column.DeliveryStatuses[d.Status] }),
	bigint("fence", func(d *deliveryRow) int64 { return d.Fence }),
	boolean("in_flight", func(d *deliveryRow) bool { return d.InFlight }),
	text("node", func(d *deliveryRow) string { return d.Node }),
	boolean("manual", func(d *deliveryRow) bool { return d.Manual }),
	bigint("made_at", func(d *deliveryRow) int64 { return column.MS(d.MadeAt) }),
	bigint("due_at", func(d *deliveryRow) int64 { return d.due }).orNull("-1"),
	bigint("next_at", func(d *deliveryRow) int64 { return column.MS(d.NextAt) }),
	bigint("ended_at", func(d *deliveryRow) int64 { return column.MS(d.EndedAt) }),
	integer("tries", func(d *deliveryRow) int { return d.Tries }),
	integer("sent", func(d *deliveryRow) int { return d.Sent }),
	integer("blocked", func(d *deliveryRow) int { return d.Blocked }),
	integer("last_status", func(d *deliveryRow) int { return d.LastStatusCode }),
	text("reason", func(d *deliveryRow) string { return string(d.Reason) }),
	boolean("gone", func(d *deliveryRow) bool { return d.Gone }),
	text("form", func(d *deliveryRow) string { return string(d.Form) }),
)

// updateDeliveries writes the moves' changes, if the row is unchanged.
var updateDeliveries = update("deliveries", "t.fence = d.was_fence",
	id("id", func(d **deliveryRow) uuid.UUID { return (*d).ID }),
	[]boundColumn[*deliveryRow]{bigint("was_fence", func(d **deliveryRow) int64 { return (*d).was })},
	smallint("status", func(d **deliveryRow) int { return column.DeliveryStatuses[(*d).Status] }),
	bigint("fence", func(d **deliveryRow) int64 { return (*d).Fence }),
	boolean("in_flight", func(d **deliveryRow) bool { return (*d).InFlight }),
	text("node", func(d **deliveryRow) string { return (*d).Node }),
	boolean("manual", func(d **deliveryRow) bool { return (*d).Manual }),
	bigint("due_at", func(d **deliveryRow) int64 { return (*d).due }).orNull("-1"),
	bigint("next_at", func(d **deliveryRow) int64 { return column.MS((*d).NextAt) }),
	bigint("ended_at", func(d **deliveryRow) int64 { return column.MS((*d).EndedAt) }),
	integer("tries", func(d **deliveryRow) int { return (*d).Tries }),
	integer("sent", func(d **deliveryRow) int { return (*d).Sent }),
	integer("blocked", func(d **deliveryRow) int { return (*d).Blocked }),
	integer("last_status", func(d **deliveryRow) int { return (*d).LastStatusCode }),
	text("reason", func(d **deliveryRow) string { return string((*d).Reason) }),
	boolean("gone", func(d **deliveryRow) bool { return (*d).Gone }),
	text("form", func(d **deliveryRow) string { return string((*d).Form) }),
)

// tryRow is a try that has ended.
type tryRow struct {
	delivery uuid.UUID
	fence    int64
	ringback.Try
}

var insertTries = insertInto("tries", "",
	id("delivery", func(y *tryRow) uuid.UUID { return y.delivery }),
	bigint("fence", func(y *tryRow) int64 { return y.fence }),
	integer("number", func(y *tryRow) int { return y.Number }),
	bigint("at", func(y *tryRow) int64 { return column.MS(y.At.Time) }),
	text("trigger", func(y *tryRow) string { return string(y.Trigger) }),
	integer("status_code", func(y *tryRow) int { return y.StatusCode }),
	bigint("duration_ms", func(y *tryRow) int64 { return y.DurationMS }),
	text("error", func(y *tryRow) string { return clean(string(y.Error)) }),
	text("response", func(y *tryRow) string { return clean(y.Response) }),
	text("form", func(y *tryRow) string { return string(y.WebhookBody) }),
)

// deliveryRange bounds the ids of a job's deliveries.
func deliveryRange(job uuid.UUID) (from, to [16]byte) {
	from, to = job, job
	for i := 8; i < 16; i++ {
		from[i], to[i] = 0, 0xff
	}
	return from, to
}
