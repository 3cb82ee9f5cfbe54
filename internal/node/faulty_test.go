package node_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/store"
)

// panickingStore is a store that panics the first three times that a request is read.
type panickingStore struct {
	store.Store
	reads atomic.Int64
}

func (s *panickingStore) Content(ctx context.Context, id uuid.UUID, p store.Parts) (store.Content, error) {
	if s.reads.Add(1) <= 3 {
		panic("a mistake")
	}
	return s.Store.Content(ctx, id, p)
}

// lateCancel is a store that answers a cancel only when the job has ended.
type lateCancel struct {
	store.Store
	stored chan struct{}
	ended  chan struct{}
}

func (s *lateCancel) Cancel(ctx context.Context, project string, id uuid.UUID, d store.Decide) (store.Job, error) {
	j, err := s.Store.Cancel(ctx, project, id, d)
	close(s.stored)
	<-s.ended
	return j, err
}

// blockedStore is a store whose requests can't be read in time.
type blockedStore struct {
	store.Store
	once    sync.Once
	reached chan struct{}
}

func (s *blockedStore) Content(ctx context.Context, _ uuid.UUID, _ store.Parts) (store.Content, error) {
	s.once.Do(func() { close(s.reached) })
	<-ctx.Done()
	return store.Content{}, ctx.Err()
}

// slowSweep is a store whose first sweep is slow.
type slowSweep struct {
	store.Store
	once        sync.Once
	began, goOn chan struct{}
}

func (s *slowSweep) Sweep(ctx context.Context, by string, now time.Time, limit int, d store.Decide) (store.Swept, error) {
	s.once.Do(func() {
		close(s.began)
		<-s.goOn
	})
	return s.Store.Sweep(ctx, by, now, limit, d)
}

// watchedStore is a store that counts how often it is asked for what waits.
type watchedStore struct {
	store.Store
	looks        atomic.Int64
	redeliveries atomic.Int64 // looks for redeliveries that were requested
}

func (s *watchedStore) Redeliveries(ctx context.Context, now time.Time, limit int) ([]store.DueRedelivery, error) {
	s.redeliveries.Add(1)
	return s.Store.Redeliveries(ctx, now, limit)
}

func (s *watchedStore) DueJobs(ctx context.Context, now time.Time) (store.DueJobs, error) {
	s.looks.Add(1)
	return s.Store.DueJobs(ctx, now)
}

func (s *watchedStore) DueDeliveries(ctx context.Context, now time.Time) (store.DueDeliveries, error) {
	s.looks.Add(1)
	return s.Store.DueDeliveries(ctx, now)
}

// failingStore is a store that fails to settle a number of times.
type failingStore struct {
	store.Store
	err  error
	left atomic.Int64 // settles of jobs and deliveries that fail
}

func (s *failingStore) fails() bool { return s.left.Add(-1) >= 0 }

func (s *failingStore) Settle(ctx context.Context, ref store.Ref, d store.Decide) (store.Job, error) {
	if s.fails() {
		return store.Job{}, s.err
	}
	return s.Store.Settle(ctx, ref, d)
}

func (s *failingStore) SettleDelivery(ctx context.Context, ref store.Ref, e store.TryEnd) (store.Delivery, error) {
	if s.fails() {
		return store.Delivery{}, s.err
	}
	return s.Store.SettleDelivery(ctx, ref, e)
}

// cancelOnly stores a cancel and then fails, as if the process had died there.
type cancelOnly struct{ store.Store }

func (s cancelOnly) Cancel(ctx context.Context, project string, id uuid.UUID, d store.Decide) (store.Job, error) {
	if _, err := s.Store.Cancel(ctx, project, id, d); err != nil {
		return store.Job{}, err
	}
	return store.Job{}, errors.New("killed")
}
