// Package store says what a store of jobs must do: the moves of the job's and
// the delivery's state machine, each with its promise and its errors.
//
// A move is one transaction on stable storage: when it returns nil, its effect
// survives kill -9 and power loss; when it returns an error, nothing of it has
// happened, unless the error is [ErrUnknown]. Every move is idempotent by (id,
// fence), so that a commit of unknown outcome can be repeated.
//
// The job row is the queue. There is no second system to keep in step with it.
//
// # Who decides
//
// The store knows states and fences, not policy. Whether a broken attempt is
// repeated, how long a hold lasts, what a webhook says: that is decided above,
// by a [Decide] function that the store calls inside the transaction with the
// row as it stands there. So whoever ends a job (worker, expiry, cancel,
// restart) stores its end and the delivery that it causes in one transaction
// (promise P3), and a cancel that came a moment earlier is seen.
//
// # Fences
//
// Fence is a job's counter. Every claim and every freeing takes the next value,
// and none comes back. A worker settles with the fence it claimed under; once
// the job has moved on, its settle changes nothing and returns [ErrFenced]. The
// fence of a claim is the attempt's number in the ledger.
package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
)

// The facts that callers test for.
var (
	// ErrNotFound: no such job or delivery in this project.
	ErrNotFound = errors.New("not found")
	// ErrFenced: the caller's claim is over; the job has moved on without it.
	ErrFenced = errors.New("claimed again or ended since")
	// ErrEnded: the job is terminal in another way than the move wants.
	ErrEnded = errors.New("job has ended")
	// ErrLive: the job waits or runs, and the move is for those that have ended.
	ErrLive = errors.New("job has not ended")
	// ErrReplayed: the job's last replay has not ended.
	ErrReplayed = errors.New("job is being replayed")
	// ErrNotDead: the delivery is no dead letter.
	ErrNotDead = errors.New("delivery is not dead")
	// ErrInFlight: a try of the delivery is being made at this moment.
	ErrInFlight = errors.New("a try is in flight")
	// ErrGone: content was deleted when its time was over.
	ErrGone = errors.New("content is deleted")
	// ErrMismatch: the idempotency key was used for another request.
	ErrMismatch = errors.New("idempotency key belongs to another request")
	// ErrFull: no space is left on the device; nothing was changed.
	ErrFull = errors.New("no space left for the store")
	// ErrBusy: another program holds the database; nothing was changed.
	ErrBusy = errors.New("the database is held by another program")
	// ErrUnknown: the commit's outcome could not be learned.
	ErrUnknown = errors.New("outcome of the commit is unknown")
	// ErrClosed: the store is closed.
	ErrClosed = errors.New("store is closed")
	// ErrLocked: another process holds the data directory.
	ErrLocked = errors.New("data directory is in use by another process")
	// ErrUnavailable: the database can't be reached, or takes no writes now;
	// nothing was changed.
	ErrUnavailable = errors.New("the database can't be reached")
	// ErrNoLease: the node has no lease, or one whose time is over. It may not
	// claim anything; nothing was changed.
	ErrNoLease = errors.New("the node has no lease")
	// ErrSwept: another node has taken the lease away, and with it all claims.
	ErrSwept = errors.New("the node's lease was taken away")
	// ErrTooNew: a newer Ringback wrote this store, in a way that this one must not touch.
	ErrTooNew = errors.New("the store needs a newer ringback")
)

// Store is a durable store of jobs and deliveries, of one process or of many
// nodes.
type Store interface {
	Jobs
	Deliveries
	Nodes
	Signals
	Holds
	Reader
	Maintenance
	// Close waits for the moves under way, then releases everything.
	io.Closer
}

// Jobs are the moves of a job.
type Jobs interface {
	// Submit stores a job: queued, or already running on Job.Node where that is
	// set (claimed on insert), which takes a lease: ErrNoLease. A second Submit of the
	// same id is done already. With an idempotency key that is taken it stores
	// nothing and returns the first job and true, or ErrMismatch if that one's
	// IdempotencyHash differs.
	Submit(ctx context.Context, j NewJob) (Job, bool, error)

	// Replay stores a job, as Submit does, that repeats another one, which ended
	// without an answer: Job.ReplayOf. That one's ReplayedBy is then the new job;
	// nothing else of it changes. A second Replay with the same new id is done
	// already. ErrNotFound; ErrLive; ErrEnded where there is an answer; ErrGone;
	// ErrReplayed, with the job that is repeating it.
	Replay(ctx context.Context, j NewJob) (Job, error)

	// Claim moves due jobs from queued to running, at most Want.N of each lane,
	// those of the highest priority first, and of these the oldest run_at. Each is
	// then an attempt that may have sent bytes: its number is used up. ErrNoLease.
	Claim(ctx context.Context, c ClaimJobs) ([]Job, error)

	// Settle ends the attempt that ref names as decide says, with the ledger's
	// row and the delivery that this causes. It returns the job as it stands
	// then, or ErrFenced if the job has moved on. Settled before with the same
	// ref, outcome and time is success; to find that out decide may be called
	// with a row that has moved on. ErrNoLease where it was to be stored with a
	// delivery in flight on a node without a lease: then it may be settled with one
	// that is due.
	Settle(ctx context.Context, ref Ref, decide Decide) (Job, error)

	// Cancel ends a waiting job as decide says. For a running one it stores
	// CancelRequested and changes nothing else: whoever settles, frees or
	// restarts it will see that. Cancelled already is success; ErrEnded comes
	// with the job where it ended otherwise; ErrNotFound.
	Cancel(ctx context.Context, project string, id uuid.UUID, decide Decide) (Job, error)

	// Expire ends at most limit waiting jobs whose EndBy is not after now.
	Expire(ctx context.Context, now time.Time, limit int, decide Decide) ([]Job, error)

	// Hasten moves, as decide says, at most limit jobs that wait for a time to come
	// since their provider refused its key: they began once, no attempt of the present
	// model failed, and it never asked to stay away. Those that are scheduled, and
	// suspects, are left as they are.
	Hasten(ctx context.Context, now time.Time, limit int, decide Decide) ([]Job, error)

	// Release ends, in one transaction, the attempts that refs name, as far as the
	// node still holds them, and returns their jobs. What drains gives back what it
	// broke off; what finds a claim that nobody knows of frees it.
	Release(ctx context.Context, node string, refs []Ref, decide Decide) ([]Job, error)

	// Erase deletes the content of a job that has ended, with all that its
	// caller, provider and receiver said. A delivery of it that was not delivered
	// dies as erased; a try in flight is fenced off. What is gone already is
	// success. ErrNotFound; ErrLive.
	Erase(ctx context.Context, project string, id uuid.UUID, now time.Time) error
}

// Deliveries are the moves of a delivery. Deliveries are made by Settle,
// Cancel, Expire, Release and Sweep.
type Deliveries interface {
	// ClaimDeliveries marks due deliveries as in flight, at most Want.N of each
	// host, those due longest first, and the redeliveries that it names. It returns them
	// without their payload. ErrNoLease.
	ClaimDeliveries(ctx context.Context, c ClaimHosts) ([]Delivery, error)

	// SettleDelivery ends the try that ref names: the try's row, and the state
	// it leads to. ErrFenced if the delivery was claimed again or erased since.
	SettleDelivery(ctx context.Context, ref Ref, s TryEnd) (Delivery, error)

	// Redeliver makes a delivery due once more, outside its schedule. ErrInFlight
	// while a try is made; ErrGone when its body is deleted; ErrNotFound.
	Redeliver(ctx context.Context, project string, id uuid.UUID, r Redelivery) error

	// AddDelivery stores one more delivery of a job that has ended, as a redelivery
	// that is due. A second one with the same id is done already. ErrNotFound; ErrLive;
	// ErrGone.
	AddDelivery(ctx context.Context, project string, job uuid.UUID, d NewDelivery) error

	// EraseDelivery deletes the bytes of a dead delivery, and with them a
	// redelivery that is due; its row stays as it is. What is gone already is
	// success. ErrNotFound; ErrNotDead; ErrInFlight.
	EraseDelivery(ctx context.Context, project string, id uuid.UUID) error

	// ExpireDeliveries turns at most limit waiting deliveries that were made
	// before the time given into dead letters. A redelivery that is due is tried
	// first, unless it too has been due since before that time: then it is given
	// up, and a delivery that had ended stays as it was.
	ExpireDeliveries(ctx context.Context, before, now time.Time, limit int) ([]Delivery, error)

	// ReleaseDeliveries makes due again, in one transaction, what refs name, as far
	// as the node still has it in flight, and says how many that were. The lost try
	// is written down with the error class "unknown" and costs no place in the
	// schedule.
	ReleaseDeliveries(ctx context.Context, node string, refs []Ref, now time.Time) (int, error)
}

// Holds are kept here so that a restart does not forget them, and so that all
// nodes know of them. They are hints: what stands in memory decides.
type Holds interface {
	// PutHold stores a hold in the place of the one of the same target.
	PutHold(ctx context.Context, h Hold) error
	// DropHold forgets the hold of a target, if there is one.
	DropHold(ctx context.Context, t Target) error
	// Holds lists all that are stored.
	Holds(ctx context.Context) ([]Hold, error)
}

// Target is what a hold is about: a model of a provider or, where Model is "",
// the provider's key.
type Target struct{ Provider, Model string }

// Hold is a time before which a target is not called.
type Hold struct {
	Target

	Until  time.Time
	Reason string
	// Key names the key that a hold of a key is about, by a hash: another key
	// is not held.
	Key string
	// Cause is what the node noted of the call that caused it.
	Cause string
}

// Reader reads. No read holds up a move.
type Reader interface {
	// Job reads a job with the parts of its content that are asked for.
	// ErrNotFound. Where the content is deleted the job comes with ErrGone.
	Job(ctx context.Context, project string, id uuid.UUID, parts Parts) (Job, Content, error)
	// ByIdempotencyKey finds the job that an idempotency key names; ErrNotFound.
	ByIdempotencyKey(ctx context.Context, project, key string) (Job, error)
	// Content reads the parts of a job's content, of any project: for those
	// who hold a claim on it.
	Content(ctx context.Context, id uuid.UUID, parts Parts) (Content, error)
	// Blob reads one part of a job's content as it is stored, or the body of a
	// delivery; the zero Blob if there is none. It takes twice its size in memory.
	Blob(ctx context.Context, owner uuid.UUID, part Parts) (Blob, error)
	// List lists jobs, newest first. It may give fewer than Limit and still
	// a cursor: it bounds what it reads, not what it finds.
	List(ctx context.Context, q Query) ([]Job, *uuid.UUID, error)
	// Attempts lists a job's ledger, oldest first, the running attempt last.
	Attempts(ctx context.Context, project string, id uuid.UUID, after int64, limit int) ([]ringback.Attempt, error)
	// JobDeliveries lists a job's deliveries with their tries.
	JobDeliveries(ctx context.Context, project string, id uuid.UUID) ([]Delivery, [][]ringback.Try, error)
	// Deliveries lists deliveries whose bytes are kept, with their tries, in the
	// order of their jobs, newest first. It pages as List does.
	Deliveries(ctx context.Context, q DeliveryQuery) ([]Delivery, [][]ringback.Try, *uuid.UUID, error)
	// Delivery reads one with its tries; ErrNotFound.
	Delivery(ctx context.Context, project string, id uuid.UUID) (Delivery, []ringback.Try, error)
	// Webhooks reads the last delivery of each of these jobs, of any project, as far
	// as its bytes are kept.
	Webhooks(ctx context.Context, jobs []uuid.UUID) (map[uuid.UUID]Delivery, error)
	// PendingDeliveries says how many deliveries of all projects have not arrived,
	// from counters.
	PendingDeliveries(ctx context.Context) (PendingDeliveries, error)
	// Ended says which of these jobs, of any project, have ended or are gone.
	Ended(ctx context.Context, ids []uuid.UUID) ([]uuid.UUID, error)
	// Begun says which of these jobs, of any project, wait no more: they run, have
	// ended or are gone.
	Begun(ctx context.Context, ids []uuid.UUID) ([]uuid.UUID, error)
	// Payload reads the bytes and headers of a delivery; ErrGone. A large body is left
	// out: Blob reads it.
	Payload(ctx context.Context, id uuid.UUID) (Payload, error)
	// Waiting says what waits, exactly.
	Waiting(ctx context.Context) (Waiting, error)
	// DueJobs and DueDeliveries say where something is due, and when something
	// will be next, without a look at the rest. What another process did may show a
	// second later. A Count may fall short of what is there, never to zero.
	DueJobs(ctx context.Context, now time.Time) (DueJobs, error)
	DueDeliveries(ctx context.Context, now time.Time) (DueDeliveries, error)
	// Redeliveries lists, for each host, the redelivery that is due and was asked for last:
	// of the newest ones, as many as limit says.
	Redeliveries(ctx context.Context, now time.Time, limit int) ([]DueRedelivery, error)
	// Queued is Waiting's Jobs alone, for those who ask often; also a second old.
	Queued(ctx context.Context) (int, error)
	// DeadJobs and DeadDeliveries list dead letters, newest first, and page as
	// List does. CountDead counts what they would list in all, whatever Limit says.
	DeadJobs(ctx context.Context, q DeadQuery) ([]Job, *uuid.UUID, error)
	DeadDeliveries(ctx context.Context, q DeadQuery) ([]Delivery, [][]ringback.Try, *uuid.UUID, error)
	CountDead(ctx context.Context, q DeadQuery) (int, error)
	// DeadLetters says how many dead letters there are, from counters.
	DeadLetters(ctx context.Context) (DeadLetters, error)
}

// Maintenance keeps the store in good health.
type Maintenance interface {
	// Prune deletes content, and later rows, whose time is over: at most limit
	// jobs, in one small transaction. It returns how many it touched.
	Prune(ctx context.Context, now time.Time, limit int) (int, error)
	// SigningKey returns SigningKeyBytes random bytes, made once: the same at all nodes and after all
	// restarts. What a node signs for another one, or for itself, it signs with these.
	SigningKey(ctx context.Context) ([]byte, error)
	// Reconcile compares the counters with what is stored, heals a difference and
	// returns it as an error.
	Reconcile(ctx context.Context) error
}

// SigningKeyBytes is the length of Maintenance.SigningKey.
const SigningKeyBytes = 32

// NewSigningKey returns a new key for Maintenance.SigningKey.
func NewSigningKey() []byte {
	key := make([]byte, SigningKeyBytes)
	rand.Read(key) // it never fails
	return key
}

// Ref names a claim: of a job or of a delivery.
type Ref struct {
	ID    uuid.UUID
	Fence int64
}

// Lane is what shares slots fairly.
type Lane struct{ Project, Provider, Model string }

// Host is where deliveries go, per project: scheme, host and port.
type Host struct{ Project, Host string }

// Options are what the caller of a job chose. They never change.
type Options struct {
	CallbackURL     string                  `json:"callback_url,omitempty"`
	Host            string                  `json:"host,omitempty"` // of CallbackURL, as the guard names it
	CallbackHeaders map[string]string       `json:"callback_headers,omitempty"`
	Events          []ringback.EventType    `json:"events"`
	WebhookBody     ringback.WebhookBody    `json:"webhook_body"`
	Timeout         time.Duration           `json:"timeout"`
	MaxAttempts     int                     `json:"max_attempts"`
	MaxWait         time.Duration           `json:"max_wait"`
	ResultTTL       time.Duration           `json:"result_ttl"`
	RetryUncertain  ringback.RetryUncertain `json:"retry_uncertain"`
	// Provider is the one that the caller named; "" leaves it to the routes.
	Provider string `json:"provider,omitempty"`
	// ProviderHeaders are sent with each call of a provider.
	ProviderHeaders map[string]string `json:"provider_headers,omitempty"`
	// Fallbacks are all that were to be asked when the job was new.
	Fallbacks   []string `json:"fallbacks,omitempty"`
	TraceParent string   `json:"traceparent,omitempty"`
	TraceState  string   `json:"tracestate,omitempty"`
	// Stream keeps the events of the job. StreamTo is where they are pushed, StreamHost
	// its host as the guard names it.
	Stream       bool                  `json:"stream,omitempty"`
	StreamTo     string                `json:"stream_to,omitempty"`
	StreamHost   string                `json:"stream_host,omitempty"`
	OnDisconnect ringback.OnDisconnect `json:"on_disconnect,omitempty"`
}

// HeadersFor are the caller's callback_headers, for the host that they are meant for
// alone: they may hold what opens it.
func (o *Options) HeadersFor(host string) map[string]string {
	if host != o.Host {
		return nil
	}
	return o.CallbackHeaders
}

// Job is the row of a job. Times have milliseconds; a zero time is unset.
type Job struct {
	ID       uuid.UUID
	Project  string
	Provider string
	// Protocol is the dialect of the stored request and answer.
	Protocol string
	// Model is the model that is asked now; RequestedModel what the caller
	// wrote; Fallbacks those that are asked next, in order.
	Model          string
	RequestedModel string
	Fallbacks      []string
	Options        Options
	// Priority goes before a lower one in the same lane; 0 to 9.
	Priority int
	// Metadata is the caller's object; never empty.
	Metadata json.RawMessage

	Status ringback.Status
	Fence  int64
	// Node runs the job; set exactly while it is running.
	Node            string
	CancelRequested bool

	CreatedAt      time.Time
	RunAt          time.Time // not claimed before
	FirstStartedAt time.Time
	StartedAt      time.Time // of the last attempt
	EndedAt        time.Time // set exactly when Status is terminal
	FirstRefusedAt time.Time
	ExpiresAt      time.Time
	// EndBy is when a waiting job is ended by Expire: ExpiresAt or, after a
	// refusal, the end of its max_wait, whichever is earlier.
	EndBy time.Time

	Failures  int // attempts that failed since Model was chosen: these count against MaxAttempts
	Attempts  int // calls that may have produced something
	Uncertain int // attempts that ended uncertain

	AnswerModel string
	Usage       json.RawMessage
	DurationMS  int64 // of the last attempt that ended
	Error       string
	ErrorDetail *ringback.ErrorDetail

	// ContentUntil is when content is deleted, at the earliest: it stays while a
	// delivery is pending. RowUntil is when the row is deleted.
	ContentUntil time.Time
	RowUntil     time.Time
	ContentGone  bool

	IdempotencyKey  string // "" means none
	IdempotencyHash []byte

	// ReplayOf is the dead job that this one repeats, ReplayedBy the newest job
	// that repeats this one; uuid.Nil means none.
	ReplayOf, ReplayedBy uuid.UUID

	// Partial is the last partial answer of an earlier attempt. It is set only
	// for a Decide, which may want to show it.
	Partial Blob

	// Unreadable says what of its caller's columns could not be read, since it is too
	// large or broken, and so is not set; "" is what it should be. No such job can be run.
	Unreadable string
}

// Lane of the job.
func (j *Job) Lane() Lane { return Lane{j.Project, j.Provider, j.Model} }

// Ref of the job's present claim.
func (j *Job) Ref() Ref { return Ref{j.ID, j.Fence} }

// Suspect reports whether the job has outlived three processes or more, and
// may be what killed them: it starts last, and alone.
func (j *Job) Suspect() bool { return j.Uncertain >= SuspectAfter }

// MaxPriority is the highest priority of a job; the lowest is 0.
const MaxPriority = 9

// SuspectAfter is how many uncertain attempts make a job suspect.
const SuspectAfter = 3

// RowTTL is how long a row outlives its content, to answer 410.
const RowTTL = 30 * 24 * time.Hour

// DeadLetterTTL is how long content is kept after a job or one of its
// deliveries became a dead letter.
const DeadLetterTTL = 14 * 24 * time.Hour

// NewJob is a job to be stored. Job.Fence is 1 if it is claimed on insert, else 0.
type NewJob struct {
	Job     Job
	Request Blob // the provider's request, verbatim
	// Once is for Replay: a job that was replayed before is not replayed again,
	// whatever became of that; ErrReplayed.
	Once bool
}

// ClaimJobs asks for jobs to run.
type ClaimJobs struct {
	Node  string
	Now   time.Time
	Lanes []LaneWant
	// Suspects asks for at most that many suspect jobs, of any lane.
	Suspects int
}

// LaneWant is how many jobs of a lane there is room for.
type LaneWant struct {
	Lane Lane
	N    int
}

// Decide says what becomes of a job, given its row as it stands inside the
// transaction. It must be quick and free of effects: it may run twice.
type Decide func(j Job) Outcome

// Outcome is what becomes of a job: its end, or the next wait. The zero
// Outcome is invalid.
type Outcome struct {
	At time.Time
	// Attempt is the ledger's row of the attempt that ends; nil where none was
	// running. Number, Node, Provider, Model and StartedAt are filled in from the job.
	Attempt *ringback.Attempt
	// Status is terminal, or Queued.
	Status ringback.Status

	// For an end.
	Answer      Blob // the provider's whole message; completed only
	AnswerModel string
	Usage       json.RawMessage
	Error       string
	ErrorDetail *ringback.ErrorDetail
	// Delivery is the webhook that the end causes; nil where none is wanted.
	Delivery *NewDelivery

	// For a wait.
	RunAt time.Time
	// Failed counts the attempt against MaxAttempts.
	Failed bool
	// Refused notes the first refusal, from which MaxWait counts.
	Refused bool
	// NextModel, where set, is asked from now on, at NextProvider; it is taken off
	// Fallbacks with those in front of it, and Failures and the wait for a provider
	// that refuses begin anew.
	NextModel, NextProvider string

	// Partial is the text that had come; empty keeps the one before.
	Partial Blob
	// Events is the log of what happened to a streamed job so far; empty keeps the
	// one before.
	Events Blob
}

// Payload is what a delivery sends.
type Payload struct {
	Body []byte // as it was made
	// Left is the size, as it is stored, of a body that was left out; else 0.
	Left int64
	// Header are the caller's callback_headers; nil of a delivery to another host than
	// that of the callback_url.
	Header map[string]string
	// TraceParent and TraceState are the job's.
	TraceParent, TraceState string
	// Attempt is the last of the job that has ended; 0 if none has.
	Attempt int64
}

// Open unpacks the body, or leaves it out.
func (p *Payload) Open(b Stored) (err error) {
	if b.IsLarge() {
		p.Left = b.Packed
		return nil
	}
	p.Body, err = b.Open()
	return err
}

// NewDelivery is a delivery to be stored.
type NewDelivery struct {
	ID    uuid.UUID
	Event ringback.EventType
	URL   string
	Host  string
	Body  Blob
	// Form is the one that the body has.
	Form   ringback.WebhookBody
	MadeAt time.Time
	// NextAt is the first try of the schedule of one for AddDelivery.
	NextAt time.Time
	// Node, if set, has it in flight already, with fence 1 (claimed on insert, which takes
	// a lease); else it is due at once.
	Node string
}

// Delivery is the row of a delivery.
type Delivery struct {
	ID      uuid.UUID
	JobID   uuid.UUID
	Project string
	Host    string
	URL     string
	Event   ringback.EventType
	Status  ringback.DeliveryStatus
	Fence   int64
	// InFlight is set while a try is made, Node exactly then: who makes it.
	InFlight bool
	Node     string
	// Manual is set while the try that is due or in flight is a redelivery.
	Manual bool
	MadeAt time.Time
	// NextAt is the schedule's next try; zero when there is none.
	NextAt  time.Time
	EndedAt time.Time
	// Tries counts those of the schedule; Sent all of them.
	Tries          int
	Sent           int
	Blocked        int // tries that ended at a closed address
	LastStatusCode int
	// Form is the one in which it is sent next: that in which it was made, or a smaller
	// one. "" is that of a delivery from before there were forms.
	Form ringback.WebhookBody
	// Reason is why it is dead.
	Reason ringback.DeadReason
	// Gone: its bytes are deleted, and with its job's content URL and Host, too.
	Gone bool
}

// Key is the host, per project, that the delivery goes to.
func (d *Delivery) Key() Host { return Host{d.Project, d.Host} }

// Ref of the delivery's present claim.
func (d *Delivery) Ref() Ref { return Ref{d.ID, d.Fence} }

// ClaimHosts asks for deliveries to send.
type ClaimHosts struct {
	Node  string
	Now   time.Time
	Hosts []HostWant
	// Redeliveries are claimed too, as far as they are due.
	Redeliveries []uuid.UUID
}

// Redelivery makes a delivery due once more.
type Redelivery struct {
	Now time.Time
	// Form, if set, is how it is sent from now on.
	Form ringback.WebhookBody
	// Body, if not empty, takes the place of what is stored: a larger form, of which the
	// forms sent before are a part.
	Body Blob
}

// DueRedelivery is a redelivery that waits since At.
type DueRedelivery struct {
	ID   uuid.UUID
	Host Host
	At   time.Time
}

// HostWant is how many deliveries to a host there is room for.
type HostWant struct {
	Host Host
	N    int
}

// TryEnd is how a try ended and what it leads to. A manual try that failed
// leaves state and schedule as they were: Status and NextAt are then ignored
// unless Status is delivered.
type TryEnd struct {
	At     time.Time
	Try    ringback.Try // Number, Trigger and WebhookBody are filled in
	Status ringback.DeliveryStatus
	NextAt time.Time           // for pending
	Reason ringback.DeadReason // for dead
	// Smaller, if set, has the same event sent in that form, at once and at the same place
	// of its schedule, also if the try was manual.
	Smaller ringback.WebhookBody
	// Free costs the delivery no place in its schedule: a probe of a held host
	// that never left, or a drain.
	Free bool
	// Unbegun, with Free and pending and without a Try, says that none was made:
	// the delivery, also one that somebody asked for once more, is as it was
	// before its claim, and due again at NextAt. It leaves no trace but the
	// fence: settled so once more, it counts as fenced.
	Unbegun bool
}

// Parts selects content.
type Parts uint8

// The parts of a job's content.
const (
	PartRequest Parts = 1 << iota
	PartAnswer
	PartPartial
	PartWebhook
	PartEvents
	// PartPayload is the body of a delivery; of Blob only.
	PartPayload
	// LeaveLarge leaves out the bodies that are LargeBody or more: Content.Left has
	// them, and Blob reads them.
	LeaveLarge
)

// LargeBody is the size in bytes, packed or not, from which a body is large: it is
// read by itself, by those who have made sure that there is memory for it.
const LargeBody = 64 << 10

// Content is what is kept apart from the row.
type Content struct {
	Request []byte
	Answer  []byte
	Partial []byte
	// Events is the log of a streamed job, as Outcome.Events brought it last.
	Events []byte
	// Webhook is the job's delivery, nil if it has none.
	Webhook *Delivery
	// Left are the sizes, as they are stored, of the parts that LeaveLarge left out.
	Left map[Parts]int64
}

// Open unpacks a part that was read, or leaves it out.
func (c *Content) Open(part, parts Parts, b Stored) (err error) {
	if parts&LeaveLarge != 0 && b.IsLarge() {
		if c.Left == nil {
			c.Left = map[Parts]int64{}
		}
		c.Left[part] = b.Packed
		return nil
	}
	text, err := b.Open()
	switch part {
	case PartRequest:
		c.Request = text
	case PartAnswer:
		c.Answer = text
	case PartPartial:
		c.Partial = text
	case PartEvents:
		c.Events = text
	}
	return err
}

// DeadLetters counts dead letters of all projects.
type DeadLetters struct{ Jobs, Deliveries int }

// PendingDeliveries are those that are to be sent, or are being sent.
type PendingDeliveries struct {
	Count int // with redeliveries
	// Oldest is when the oldest of those that are pending was made; zero if none is.
	Oldest time.Time
}

// Waiting is what waits in the store.
type Waiting struct {
	Jobs       int           // queued, due or not
	Deliveries int           // to be sent, redeliveries too, and not in flight
	Lanes      []LaneWaiting // without suspects
	Suspects   LaneWaiting   // of all lanes
	Hosts      []HostWaiting
}

// DueJobs is where jobs are due. A lane's Count is of all that wait in it at a
// priority at which one is due.
type DueJobs struct {
	Lanes    []LaneWaiting // without suspects
	Suspects LaneWaiting   // of all lanes
	// Next is no later than the first job that is not due yet; zero if none is.
	Next time.Time
}

// DueDeliveries is where deliveries are due, and Next as in DueJobs.
type DueDeliveries struct {
	Hosts []HostWaiting
	Next  time.Time
}

// LaneWaiting is what waits in a lane. Due is no later than the earliest run_at.
type LaneWaiting struct {
	Lane  Lane
	Count int
	Due   time.Time
}

// HostWaiting is what waits for a host. Due is no later than the earliest try.
type HostWaiting struct {
	Host  Host
	Count int
	Due   time.Time
}
