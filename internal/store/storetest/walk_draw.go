package storetest

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// Everything that a walk draws has a name, so that what rapid prints of a failing walk
// reads as a history: who did what to which job.

// pick draws a value, all equally likely: rapid's own choice would mostly be one of the
// first. Each bit is one draw, which shrinks quickly.
func pick[T any](w *walk, from []T, what string) T {
	return rapid.Custom(func(t *rapid.T) T {
		i := 0
		for range bits.Len(uint(len(from))) {
			i <<= 1
			if rapid.Bool().Draw(t, "bit") {
				i++
			}
		}
		return from[i%len(from)]
	}).Draw(w.t.T, what)
}

func (w *walk) number(from, to int, what string) int {
	var numbers []int
	for n := from; n <= to; n++ {
		numbers = append(numbers, n)
	}
	return pick(w, numbers, what)
}

func (w *walk) oneIn(n int, what string) bool {
	return pick(w, append(slices.Repeat([]string{"no"}, n-1), "yes"), what) == "yes"
}

// impossible is the panic of a move that can't be made now. Nothing has happened then.
type impossible struct{}

// possible makes a move and reports whether it could be made.
func possible(move func()) (made bool) {
	defer func() {
		if v := recover(); v != nil {
			if _, ok := v.(impossible); !ok {
				panic(v)
			}
			made = false
		}
	}()
	move()
	return true
}

// needs makes a move impossible if the list is empty.
func needs[T any](from []T) {
	if len(from) == 0 {
		panic(impossible{})
	}
}

// one chooses from a list. If it is empty, another move is made instead.
func one[T any](w *walk, from []T, what string) T {
	needs(from)
	names := make([]string, len(from))
	for i, v := range from {
		names[i] = fmt.Sprint(v)
	}
	return from[slices.Index(names, pick(w, names, what))]
}

// latest chooses from a list that is in the order of time, counting from its end, which
// stays the same when rapid leaves out earlier moves.
func latest[T any](w *walk, from []T, what string) T {
	from = slices.Clone(from)
	slices.Reverse(from)
	return one(w, from, what)
}

// favour makes those that matter more four times as likely to be chosen.
func favour[T any](from []T, matters func(T) bool) []T {
	var weighted []T
	for _, v := range from {
		if weighted = append(weighted, v); matters(v) {
			weighted = append(weighted, v, v, v)
		}
	}
	return weighted
}

// sayf logs what the node that makes a move has done.
func (w *walk) sayf(format string, args ...any) {
	w.t.Logf("%s, at %s by its clock: %s", w.node, w.now.Format("02 15:04:05.000"), fmt.Sprintf(format, args...))
}

// nameOf returns a job's number in the order in which the ids were made.
func nameOf(job uuid.UUID) string {
	return fmt.Sprint("job ", binary.BigEndian.Uint64(job[8:])&^(1<<63))
}

// String is for the history.
func (j *modelJob) String() string {
	if isRunning(j.row) {
		return fmt.Sprintf("%s, running on %s under fence %d", nameOf(j.row.ID), j.row.Node, j.row.Fence)
	}
	return fmt.Sprintf("%s, %s, fence %d", nameOf(j.row.ID), j.row.Status, j.row.Fence)
}

// String is for the history.
func (d *modelDelivery) String() string {
	state := string(d.row.Status)
	if d.row.InFlight {
		state = "in flight on " + d.row.Node
	}
	return fmt.Sprintf("the webhook of %s, %s", nameOf(d.row.JobID), state)
}

// claim is a claim of a job or a delivery, kept for the whole walk: even when it is over.
type claim struct {
	store.Ref

	node string
	job  uuid.UUID
}

// String is for the history.
func (c claim) String() string {
	what := nameOf(c.job)
	if c.job != c.ID {
		what = "the webhook of " + what
	}
	return fmt.Sprintf("%s under fence %d by %s", what, c.Fence, c.node)
}

func refsOf(claims []claim) []store.Ref {
	var refs []store.Ref
	for _, c := range claims {
		refs = append(refs, c.Ref)
	}
	return refs
}

// repeat is a move that is made once more.
type repeat struct {
	name  string
	again func()
}

// String is for the history.
func (r repeat) String() string { return r.name }

// namesOf returns the names of jobs, with their outcome.
func namesOf(jobs []store.Job) []string {
	var names []string
	for _, j := range jobs {
		name := fmt.Sprintf("%s (%s, fence %d)", nameOf(j.ID), j.Status, j.Fence)
		if j.Status == ringback.Running {
			name = fmt.Sprintf("%s (fence %d)", nameOf(j.ID), j.Fence)
		}
		names = append(names, name)
	}
	return names
}
