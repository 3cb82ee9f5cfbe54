package postgres

import (
	"sync"

	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/store"
)

// held are the rows of jobs that run on this process's nodes, and of deliveries that they
// have in flight, as this process last wrote them, so that settling one need not read it
// first. Another process may have changed it since; that is noticed when it is written.
type held struct {
	mu         sync.Mutex
	jobs       map[uuid.UUID]store.Job
	deliveries map[uuid.UUID]store.Delivery
}

func newHeld() *held {
	return &held{jobs: map[uuid.UUID]store.Job{}, deliveries: map[uuid.UUID]store.Delivery{}}
}

func (h *held) job(id uuid.UUID) (store.Job, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	j, ok := h.jobs[id]
	return j, ok
}

func (h *held) delivery(id uuid.UUID) (store.Delivery, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d, ok := h.deliveries[id]
	return d, ok
}

func (h *held) noteJob(j store.Job, mine bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if mine && j.Node != "" {
		h.jobs[j.ID] = j
	} else {
		delete(h.jobs, j.ID)
	}
}

func (h *held) noteDelivery(d store.Delivery, mine bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if mine && d.InFlight {
		h.deliveries[d.ID] = d
	} else {
		delete(h.deliveries, d.ID)
	}
}

func (h *held) forget(id uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.jobs, id)
	delete(h.deliveries, id)
}

// drop forgets everything that a node held.
func (h *held) drop(node string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, j := range h.jobs {
		if j.Node == node {
			delete(h.jobs, id)
		}
	}
	for id, d := range h.deliveries {
		if d.Node == node {
			delete(h.deliveries, id)
		}
	}
}
