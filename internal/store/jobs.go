package store

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Jobs are the moves of a job.
type Jobs interface {
	// Submit stores a job: queued, or already running on Job.Node where that is
	// set (claimed on insert), which takes a lease: ErrNoLease. A second Submit of the
	// same id is a no-op. If the idempotency key is taken, nothing is stored, and Submit
	// returns the first job and true, or ErrMismatch if that job's IdempotencyHash
	// differs.
	Submit(ctx context.Context, j NewJob) (Job, bool, error)

	// Replay stores a job, as Submit does, that repeats another one, which ended
	// without an answer: Job.ReplayOf. That job's ReplayedBy is then the new job;
	// nothing else of it changes. A second Replay with the same new id is a no-op.
	// ErrNotFound; ErrLive; ErrEnded if there is an answer; ErrGone; ErrReplayed, with
	// the job that is repeating it.
	Replay(ctx context.Context, j NewJob) (Job, error)

	// Claim moves due jobs from queued to running, at most Want.N of each lane,
	// those of the highest priority first, then by the oldest run_at. Each is
	// then an attempt that may have sent bytes: its number is used up. ErrNoLease.
	Claim(ctx context.Context, c ClaimJobs) ([]Job, error)

	// Settle ends the attempt that ref names as decide says, with the ledger's
	// row and the delivery that this causes. It returns the job as it is
	// then, or ErrFenced if the job has moved on. Settled before with the same
	// ref, outcome and time is success; to find that out decide may be called
	// with a row that has moved on. ErrNoLease if it was to be stored with a
	// delivery in flight on a node without a lease: then it may be settled with one
	// that is due.
	Settle(ctx context.Context, ref Ref, decide Decide) (Job, error)

	// Release ends, in one transaction, those of the attempts in refs that the node
	// still holds, and returns their jobs. A node that drains gives back what it broke
	// off; a node that finds a claim it knows nothing about frees it.
	Release(ctx context.Context, node string, refs []Ref, decide Decide) ([]Job, error)

	// Cancel ends a waiting job as decide says. For a running one it stores
	// CancelRequested and changes nothing else: the move that settles, frees or
	// restarts the job sees it. Cancelled already is success; ErrEnded comes
	// with the job if it ended otherwise; ErrNotFound.
	Cancel(ctx context.Context, project string, id uuid.UUID, decide Decide) (Job, error)

	// Hasten moves, as decide says, at most limit jobs that wait for a time to come
	// since their provider refused its key: they began once, no attempt of the present
	// model failed, and it never asked to stay away. Scheduled jobs and suspects are
	// left as they are.
	Hasten(ctx context.Context, now time.Time, limit int, decide Decide) ([]Job, error)
}

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
