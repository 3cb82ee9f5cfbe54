package sqlite

import "container/heap"

// bucket is a count, and a time that is no later than the first of those counted is due.
type bucket struct {
	count int
	due   int64
}

func (h bucket) add(n int, due int64) bucket {
	if h.count == 0 || due < h.due {
		h.due = due
	}
	h.count += n
	return h
}

// covers reports whether h leads to everything that is stored.
func (h bucket) covers(stored bucket) bool {
	return h.count == stored.count && (h.count == 0 || h.due <= stored.due)
}

// dueHeap knows where something waits, and where it is due first: those that are
// due are found without looking at the others, of which there may be 100,000.
type dueHeap[K comparable] struct {
	entries map[K]*entry[K]
	order   byDue[K]
}

type entry[K comparable] struct {
	key K
	bucket
	index int // in order
}

func newDueHeap[K comparable]() *dueHeap[K] { return &dueHeap[K]{entries: map[K]*entry[K]{}} }

// get gives the zero bucket where nothing waits.
func (a *dueHeap[K]) get(k K) bucket {
	if e := a.entries[k]; e != nil {
		return e.bucket
	}
	return bucket{}
}

// put keeps the dueHeap free of keys where nothing waits.
func (a *dueHeap[K]) put(k K, h bucket) {
	e := a.entries[k]
	switch {
	case e == nil && h.count > 0:
		e = &entry[K]{key: k, bucket: h}
		a.entries[k] = e
		heap.Push(&a.order, e)
	case e != nil && h.count <= 0:
		heap.Remove(&a.order, e.index)
		delete(a.entries, k)
	case e != nil:
		e.bucket = h
		heap.Fix(&a.order, e.index)
	}
}

// due gives what is due, and the first time after that; 0 if there is none.
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
		if e.due > now {
			if next == 0 || e.due < next {
				next = e.due
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
		if !a.get(k).covers(e.bucket) {
			return false
		}
	}
	return len(a.entries) == len(stored.entries)
}

// byDue is a heap.
type byDue[K comparable] []*entry[K]

func (b byDue[K]) Len() int           { return len(b) }
func (b byDue[K]) Less(i, j int) bool { return b[i].due < b[j].due }

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
