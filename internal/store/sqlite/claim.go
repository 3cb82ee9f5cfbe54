package sqlite

import (
	"context"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/backlog"
	"github.com/ringback/ringback/internal/store/column"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Claim implements store.Jobs.
func (s *Store) Claim(ctx context.Context, c store.ClaimJobs) ([]store.Job, error) {
	op := groupcommit.Op{Name: "claim jobs", Bytes: rowBytes}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) ([]store.Job, error) { return s.claim(t, c) })
}

func (s *Store) claim(t *tx, c store.ClaimJobs) ([]store.Job, error) {
	if err := s.nodes.mayClaim(c.Node); err != nil {
		return nil, err
	}
	var jobs []store.Job
	for _, want := range c.Lanes {
		n := want.N
		for _, p := range s.waiting.prioritiesOf(want.Lane) {
			if n == 0 {
				break
			}
			due, err := s.claimRank(t, c, backlog.Rank{Lane: want.Lane, Priority: p}, n)
			if err != nil {
				return nil, err
			}
			jobs = append(jobs, due...)
			n -= len(due)
		}
	}
	if c.Suspects == 0 {
		return jobs, nil
	}
	due, err := selectJobs(t, `
		SELECT `+jobColumns+` FROM jobs
		WHERE `+column.IsSuspect+` AND run_at <= ?
		ORDER BY run_at, id LIMIT ?`, column.MS(c.Now), c.Suspects)
	if err != nil {
		return nil, err
	}
	if err := s.start(t, c, due); err != nil {
		return nil, err
	}
	return append(jobs, due...), s.suspectsDue(t)
}

// claimRank claims at most n due jobs of one priority in a lane.
func (s *Store) claimRank(t *tx, c store.ClaimJobs, r backlog.Rank, n int) ([]store.Job, error) {
	due, err := selectJobs(t, `
		SELECT `+jobColumns+` FROM jobs
		WHERE `+column.IsReady+` AND project = ? AND provider = ? AND model = ? AND priority = ? AND run_at <= ?
		ORDER BY run_at, id LIMIT ?`,
		r.Project, r.Provider, r.Model, r.Priority, column.MS(c.Now), n)
	if err != nil {
		return nil, err
	}
	if err := s.start(t, c, due); err != nil {
		return nil, err
	}
	return due, s.rankDue(t, r)
}

// start turns waiting jobs into running attempts.
func (s *Store) start(t *tx, c store.ClaimJobs, jobs []store.Job) error {
	now := column.MS(c.Now)
	for i := range jobs {
		j := &jobs[i]
		s.jobLeaves(t, *j)
		_, err := t.exec(`
			UPDATE jobs SET status = 1, fence = fence + 1, node = ?, started_at = ?,
				first_started_at = CASE first_started_at WHEN 0 THEN ? ELSE first_started_at END
			WHERE id = ?`, c.Node, now, now, j.ID[:])
		if err != nil {
			return err
		}
		j.Status, j.Fence, j.Node, j.StartedAt = ringback.Running, j.Fence+1, c.Node, column.Time(now)
		if j.FirstStartedAt.IsZero() {
			j.FirstStartedAt = j.StartedAt
		}
		s.cacheRunning(t, *j)
	}
	return nil
}
