package sqlite

import (
	"container/heap"
	"iter"

	"github.com/ringback/ringback/internal/store/backlog"
)

// dueHeap knows where something is waiting, and where it is due first: it finds what is due
// without looking at the rest, of which there may be 100,000.
type dueHeap[K comparable] struct {
	entries map[K]*entry[K]
	order   byDue[K]
}

type entry[K comparable] struct {
	key K
	backlog.Bucket
	index int // in order
}

func newDueHeap[K comparable]() *dueHeap[K] { return &dueHeap[K]{entries: map[K]*entry[K]{}} }

// get returns the zero Bucket where nothing is waiting.
func (a *dueHeap[K]) get(k K) backlog.Bucket {
	if e := a.entries[k]; e != nil {
		return e.Bucket
	}
	return backlog.Bucket{}
}

// put removes a key where nothing is waiting.
func (a *dueHeap[K]) put(k K, h backlog.Bucket) {
	e := a.entries[k]
	switch {
	case e == nil && h.Count > 0:
		e = &entry[K]{key: k, Bucket: h}
		a.entries[k] = e
		heap.Push(&a.order, e)
	case e != nil && h.Count <= 0:
		heap.Remove(&a.order, e.index)
		delete(a.entries, k)
	case e != nil:
		e.Bucket = h
		heap.Fix(&a.order, e.index)
	}
}

// due returns what is due, and the first time after that; 0 if there is none.
func (a *dueHeap[K]) due(now int64) (due []*entry[K], next int64) {
	// Below an entry that is not due, none is.
	look := []int{0}
	for len(look) > 0 {
		i := look[len(look)-1]
		look = look[:len(look)-1]
		if i >= len(a.order) {
			continue
		}
		e := a.order[i]
		if e.Due > now {
			if next == 0 || e.Due < next {
				next = e.Due
			}
			continue
		}
		due = append(due, e)
		look = append(look, 2*i+1, 2*i+2)
	}
	return due, next
}

// covers reports whether a leads to everything that is in stored.
func (a *dueHeap[K]) covers(stored *dueHeap[K]) bool {
	for k, e := range stored.entries {
		if !a.get(k).Covers(e.Bucket) {
			return false
		}
	}
	return len(a.entries) == len(stored.entries)
}

// each iterates over entries.
func each[K comparable](entries []*entry[K]) iter.Seq2[K, backlog.Bucket] {
	return func(yield func(K, backlog.Bucket) bool) {
		for _, e := range entries {
			if !yield(e.key, e.Bucket) {
				return
			}
		}
	}
}

// byDue is a heap.
type byDue[K comparable] []*entry[K]

func (b byDue[K]) Len() int           { return len(b) }
func (b byDue[K]) Less(i, j int) bool { return b[i].Due < b[j].Due }

func (b byDue[K]) Swap(i, j int) {
	b[i], b[j] = b[j], b[i]
	b[i].index, b[j].index = i, j
}

// Push is for package heap.
func (b *byDue[K]) Push(x any) {
	e := x.(*entry[K])
	e.index = len(*b)
	*b = append(*b, e)
}

// Pop is for package heap.
func (b *byDue[K]) Pop() any {
	last := len(*b) - 1
	e := (*b)[last]
	(*b)[last] = nil
	*b = (*b)[:last]
	return e
}
