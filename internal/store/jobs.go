package store

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Jobs are the moves of a job.
type Jobs interface {
	// Submit stores a job: queued, or already running on Job.Node if that is set (claimed
	// on insert), which takes a lease: ErrNoLease. A second Submit of the same id is a
	// no-op. If the idempotency key is taken, Submit stores nothing, and returns the first
	// job and true, or ErrMismatch if that job's IdempotencyHash differs.
	Submit(ctx context.Context, j NewJob) (Job, bool, error)

	// Replay stores a job, like Submit, that repeats another one, Job.ReplayOf, which ended
	// without an answer. That job's ReplayedBy is set to the new job; nothing else of it
	// changes. A second Replay with the same new id is a no-op. ErrNotFound; ErrLive;
	// ErrEnded if there is an answer; ErrGone; ErrReplayed, with the job that is repeating
	// it.
	Replay(ctx context.Context, j NewJob) (Job, error)

	// Claim moves due jobs from queued to running, at most Want.N from each lane, those of
	// the highest priority first, then by the oldest run_at. From then on each has an
	// attempt that may have sent bytes: its number is used up. ErrNoLease.
	Claim(ctx context.Context, c ClaimJobs) ([]Job, error)

	// Settle ends the attempt that ref names as decide says, and stores the ledger's row
	// and the delivery that this causes. It returns the resulting job, or ErrFenced if the
	// job has moved on. It succeeds if it was settled before with the same ref, outcome and
	// time; to find that out, it may call decide with a row that has moved on. ErrNoLease
	// if it was to be stored with a delivery in flight on a node without a lease: then it
	// may be settled with a delivery that is due.
	Settle(ctx context.Context, ref Ref, decide Decide) (Job, error)

	// Release ends those of the attempts in refs that the node still holds, in one
	// transaction, and returns their jobs. A draining node releases the attempts that it
	// broke off; a node that finds a claim it knows nothing about releases it.
	Release(ctx context.Context, node string, refs []Ref, decide Decide) ([]Job, error)

	// Cancel ends a waiting job as decide says. For a running one it stores CancelRequested
	// and changes nothing else: the move that settles, frees or restarts the job sees it.
	// It succeeds if the job is already cancelled; ErrEnded, with the job, if it ended
	// otherwise; ErrNotFound.
	Cancel(ctx context.Context, project string, id uuid.UUID, decide Decide) (Job, error)

	// Hasten moves, as decide says, at most limit jobs that are waiting for a time because
	// their provider refused its key: they have begun once, no attempt of the present model
	// failed, and the provider never named a time to wait. Scheduled jobs and suspects are
	// left alone.
	Hasten(ctx context.Context, now time.Time, limit int, decide Decide) ([]Job, error)
}

// NewJob is a job to be stored. Job.Fence is 1 if it is claimed on insert, otherwise 0.
type NewJob struct {
	Job     Job
	Request Blob // the provider's request, verbatim
	// Once is for Replay: a job that was replayed before is not replayed again, however
	// that replay ended; ErrReplayed.
	Once bool
}

// ClaimJobs asks for jobs to run.
type ClaimJobs struct {
	Node  string
	Now   time.Time
	Lanes []LaneWant
	// Suspects asks for at most that many suspect jobs, from any lane.
	Suspects int
}

// LaneWant is the number of free slots for jobs of a lane.
type LaneWant struct {
	Lane Lane
	N    int
}

// Decide returns what happens to a job, given its row inside the transaction. It must be
// quick and free of side effects: it may run twice.
type Decide func(j Job) Outcome
