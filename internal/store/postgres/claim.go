package postgres

import (
	"context"
	"fmt"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Claim implements store.Jobs.
func (s *Store) Claim(ctx context.Context, c store.ClaimJobs) ([]store.Job, error) {
	if err := s.knowLanes(ctx, c.Lanes); err != nil {
		return nil, fmt.Errorf("claim jobs: %w", err)
	}
	op := groupcommit.Op{Name: "claim jobs", Bytes: rowBytes}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) ([]store.Job, error) { return t.claim(c) })
}

// claim claims the highest priority of all lanes in one statement, then the next one of
// those lanes that did not have enough.
func (t *tx) claim(c store.ClaimJobs) ([]store.Job, error) {
	t.claims(c.Node)
	left := make(map[store.Lane]int, len(c.Lanes))
	ranks := map[store.Lane][]int{}
	for _, want := range c.Lanes {
		left[want.Lane] += want.N
		ranks[want.Lane] = t.store.waiting.prioritiesOf(want.Lane)
	}
	var claimed []store.Job
	for depth := 0; depth <= store.MaxPriority; depth++ {
		var wants rankWants
		for lane, n := range left {
			if n > 0 && depth < len(ranks[lane]) {
				wants.add(lane, ranks[lane][depth], n)
			}
		}
		if len(wants.n) == 0 {
			break
		}
		jobs, err := t.claimRanks(c, wants)
		if err != nil {
			return nil, err
		}
		for _, j := range jobs {
			left[j.Lane()]--
		}
		claimed = append(claimed, jobs...)
	}
	for lane, n := range left {
		if n > 0 {
			t.after(func() { t.store.waiting.short(lane) })
		}
	}
	if c.Suspects == 0 {
		return t.found(c, claimed)
	}
	suspects, err := t.lockJobs(column.IsSuspect+` AND t.run_at <= $1`,
		"ORDER BY t.run_at, t.id LIMIT $2 FOR UPDATE SKIP LOCKED", column.MS(c.Now), c.Suspects)
	if err != nil {
		return nil, err
	}
	return t.found(c, append(claimed, t.start(c, suspects)...))
}

// found returns what was claimed; only a node with a lease may learn that there was
// nothing.
func (t *tx) found(c store.ClaimJobs, claimed []store.Job) ([]store.Job, error) {
	if len(claimed) == 0 {
		return nil, t.leased(c.Node)
	}
	return claimed, nil
}

// rankWants is how many jobs of each rank are wanted, as columns.
type rankWants struct {
	projects, providers, models []string
	priorities, n               []int32
}

func (w *rankWants) add(l store.Lane, priority, n int) {
	w.projects, w.providers, w.models = append(w.projects, l.Project), append(w.providers, l.Provider), append(w.models, l.Model)
	w.priorities, w.n = append(w.priorities, int32(priority)), append(w.n, int32(n))
}

// claimRanks claims due jobs of one priority in each of some lanes.
func (t *tx) claimRanks(c store.ClaimJobs, w rankWants) ([]store.Job, error) {
	//nolint:unqueryvet // its columns are named inside
	jobs, err := t.knowJobs(`
		SELECT t.* FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::integer[]) AS w(project, provider, model, priority, n)
		CROSS JOIN LATERAL (
			SELECT `+jobColumns+` FROM ringback.jobs t
			WHERE `+column.IsReady+` AND t.project = w.project AND t.provider = w.provider AND t.model = w.model
				AND t.priority = w.priority AND t.run_at <= $6
			ORDER BY t.run_at, t.id LIMIT w.n FOR UPDATE SKIP LOCKED) t`,
		w.projects, w.providers, w.models, w.priorities, w.n, column.MS(c.Now))
	if err != nil {
		return nil, err
	}
	return t.start(c, jobs), nil
}

// start turns waiting jobs into running attempts.
func (t *tx) start(c store.ClaimJobs, jobs []store.Job) []store.Job {
	now := column.Time(column.MS(c.Now))
	for i := range jobs {
		j := &jobs[i]
		t.jobLeaves(*j)
		j.Status, j.Fence, j.Node, j.StartedAt = ringback.Running, j.Fence+1, c.Node, now
		if j.FirstStartedAt.IsZero() {
			j.FirstStartedAt = now
		}
		t.updateJob(*j)
	}
	return jobs
}
