// Package storetest specifies by examples what package store specifies in words: it is the
// one contract that every store has to pass.
//
// [Exercise] runs it. Each subtest is one promise in a fresh world, with the promise as its
// name; the files are named after the moves, as in the stores. Then come the named
// histories (histories.go), sequences of events that break a naive queue, and a random walk
// (walk.go) over all moves, by several nodes that freeze, are swept and wake up, with wrong
// clocks, crashes and jumps of time, compared with a model in plain maps (model.go). A walk
// that fails is reported as a short history.
//
// The package knows no SQL and no files: the [Harness] crashes the store, loses the answer
// to a commit or runs out of space. No move reads a clock: each gets the time as an
// argument.
package storetest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/ringback/ringback/internal/store"
)

// Harness is one world: a store on stable storage that can crash. The function that opens
// it registers its cleanup with t.Cleanup, which must allow for the suite having closed the
// store.
type Harness interface {
	// Store returns the one that is open now; a Crash replaces it.
	Store() store.Store
	// Crash ends the process like kill -9, as well as a test in one process can: it drops
	// the store without closing it and opens what is on the disk.
	Crash(t testing.TB)
	// LoseCommit lets the next commit succeed, but makes its outcome unknown to the store.
	LoseCommit()
	// TakeLease ends a node's lease as time would: the next Sweep by another node takes it
	// away. It does nothing for a node without a lease. Otherwise leases last longer than
	// any test.
	TakeLease(node string)
	// LeasesSurvive reports whether leases survive a Crash.
	LeasesSurvive() bool
	// Plant writes a value into a column of a row, bypassing the store's checks, like an
	// older version, or a user with an editor.
	Plant(table, column string, id uuid.UUID, value string)
	// FullDisk makes writes fail for lack of space until the returned function is called.
	FullDisk() (restore func())
}

// Mover is a harness whose world moves to another store at the end of a walk: everything in
// the first one, including the claims of its dead process, must then be in the second.
type Mover interface {
	Harness
	Move(t testing.TB)
}

// Walk runs only the random walk.
func Walk(t *testing.T, open func(t testing.TB) Mover) {
	exerciseWalk(t, func(t testing.TB) Harness { return open(t) })
}

// Exercise runs the whole contract on stores that open makes.
func Exercise(t *testing.T, open func(t testing.TB) Harness) {
	subjects := []struct {
		name     string
		exercise func(suite)
	}{
		{"submit", exerciseSubmit},
		{"body", exerciseBodies},
		{"large body", exerciseLargeBodies},
		{"claim", exerciseClaim},
		{"suspects", exerciseSuspects},
		{"settle", exerciseSettle},
		{"settle as a wait", exerciseWaits},
		{"events", exerciseEvents},
		{"fences", exerciseFences},
		{"cancel", exerciseCancel},
		{"expire", exerciseExpire},
		{"hasten", exerciseHasten},
		{"release", exerciseRelease},
		{"nodes", exerciseNodes},
		{"claim deliveries", exerciseClaimDeliveries},
		{"settle deliveries", exerciseSettleDelivery},
		{"redeliver", exerciseRedeliver},
		{"redeliver in another form", exerciseForms},
		{"redeliver now", exerciseRedelivery},
		{"redeliver elsewhere", exerciseAddDelivery},
		{"free deliveries", exerciseFreeDeliveries},
		{"replay", exerciseReplay},
		{"erase", exerciseErase},
		{"dead letters", exerciseDead},
		{"holds", exerciseHolds},
		{"read", exerciseRead},
		{"unreadable rows", exerciseUnreadable},
		{"list", exerciseList},
		{"list deliveries", exerciseListDeliveries},
		{"list jobs by webhook", exerciseListByWebhook},
		{"waiting", exerciseWaiting},
		{"prune", exercisePrune},
		{"signing key", exerciseSigningKey},
		{"close", exerciseClose},
		{"histories of attempts", exerciseHistories},
		{"histories of lost commits", exerciseLostCommits},
		{"histories of webhooks", exerciseWebhookHistories},
		{"histories of many nodes", exerciseNodeHistories},
		{"histories of many callers", exerciseManyCallers},
		{"histories of a full disk", exerciseFullDisk},
	}
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.exercise(suite{t, open})
		})
	}
	t.Run("random walk", func(t *testing.T) {
		t.Parallel()
		exerciseWalk(t, open)
	})
}

// suite is one subject of the contract.
type suite struct {
	t    *testing.T
	open func(testing.TB) Harness
}

// promise runs one subtest in a fresh world. Whatever it did, the counters must be right
// afterwards, and the store must close.
func (s suite) promise(sentence string, keep func(w *world)) {
	s.t.Run(sentence, func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, t, s.open(t))
		keep(w)
		w.sound()
	})
}

// world is a harness with the helpers that tests share. It fails through the
// embedded TB, which is a *testing.T or, in the random walk, a *rapid.T.
type world struct {
	rapid.TB
	Harness
	outer testing.TB // for Crash
	ids   atomic.Uint64
	node  string // that the world claims as; another one after a crash
	nodes int    // that have joined so far
}

func newWorld(t rapid.TB, outer testing.TB, h Harness) *world {
	w := &world{TB: t, Harness: h, outer: outer}
	w.join()
	return w
}

// sound checks the counters, and closes the store.
func (w *world) sound() {
	w.Helper()
	w.ok(w.Store().Reconcile(w.ctx()))
	w.ok(w.Store().Close())
}

// ctx is for moves whose caller has unlimited time.
func (w *world) ctx() context.Context { return context.Background() }

// crash ends the process and opens the store again, as another node.
func (w *world) crash() {
	w.Helper()
	w.Crash(w.outer)
	w.die()
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatalf("got error %q, want none", err)
	}
}

// fails checks that err is (or wraps) want.
func (w *world) fails(err, want error) {
	w.Helper()
	if !errors.Is(err, want) {
		w.Fatalf("got error %v, want %q", err, want)
	}
}
