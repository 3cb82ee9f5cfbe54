package sqlite

import (
	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/store"
)

// held are the rows of jobs that are running and of deliveries that are in flight, as the
// tables have them, so that settling one need not read it again. Only the writer's
// goroutine uses it.
//
// Every change of such a row forgets it, at once and again after the commit, since an
// earlier member of the same batch may have cached it by then. Rows are cached after the
// commit. So a transaction that is rolled back leaves fewer rows in here, never wrong ones.
// Rows that are not in here are read.
type held struct {
	jobs       map[uuid.UUID]store.Job
	deliveries map[uuid.UUID]store.Delivery
}

func newHeld() held {
	return held{jobs: map[uuid.UUID]store.Job{}, deliveries: map[uuid.UUID]store.Delivery{}}
}

// cacheRunning keeps the row of a job once its attempt is committed.
func (s *Store) cacheRunning(t *tx, j store.Job) {
	t.after(func() { s.held.jobs[j.ID] = j })
}

// cacheInFlight keeps the row of a delivery once its claim is committed.
func (s *Store) cacheInFlight(t *tx, d store.Delivery) {
	t.after(func() { s.held.deliveries[d.ID] = d })
}

func (s *Store) forgetJob(t *tx, id uuid.UUID) {
	delete(s.held.jobs, id)
	t.after(func() { delete(s.held.jobs, id) })
}

func (s *Store) forgetDelivery(t *tx, id uuid.UUID) {
	delete(s.held.deliveries, id)
	t.after(func() { delete(s.held.deliveries, id) })
}

// job returns the row of a job that is likely to be running.
func (s *Store) job(t *tx, id uuid.UUID) (store.Job, error) {
	if j, ok := s.held.jobs[id]; ok {
		return j, nil
	}
	return selectJob(t, id)
}

// delivery returns the row of a delivery that is likely to be in flight.
func (s *Store) delivery(t *tx, id uuid.UUID) (store.Delivery, error) {
	if d, ok := s.held.deliveries[id]; ok {
		return d, nil
	}
	return selectDelivery(t, id)
}
