package cluster

import (
	"context"
	"log/slog"
	"time"

	"github.com/ringback/ringback/internal/clock"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

const (
	// storedFrom is how long a hold must last to be stored for the next start, and
	// sharedFrom to be stored for other nodes.
	storedFrom = 5 * time.Second
	sharedFrom = time.Second
	// holdsEvery is how often holds are compared if nothing wakes the loop.
	holdsEvery = time.Second
	// holdDrift is by how much a hold may outlast the stored one before it is stored again.
	holdDrift = time.Second
	// holdsAtOnce is how many holds one comparison stores.
	holdsAtOnce = 50
	// foreignHoldFor is how long a hold for a provider or key that this node does not have
	// is left, once it is over, to the nodes that have it.
	foreignHoldFor = time.Hour
)

// Gates hold back calls of providers' keys and models. Times are local.
type Gates interface {
	// Holds lists the holds in effect, without the hashes of their keys.
	Holds() []store.Hold
	// Hold begins a hold of another process, or lengthens the one in effect. It returns
	// false if that one is longer, or its provider is gone.
	Hold(h store.Hold) bool
	// Free ends the hold of a target unless it lasts longer than until. It reports whether
	// it has ended one.
	Free(t store.Target, until time.Time) bool
	// Knows reports whether a provider is configured.
	Knows(provider string) bool
	// KeyHash returns the hash of a target's key; "" for a model, or if the provider is
	// gone.
	KeyHash(t store.Target) string
}

// HoldsConfig configures holds. All fields are required.
type HoldsConfig struct {
	Store      store.Holds
	Gates      Gates
	Clock      *clock.Clock
	Supervisor *supervise.Supervisor
	Logger     *slog.Logger
	// Session returns the node's present session.
	Session func() *Session
	// Freed is called when another node has ended a hold.
	Freed func()
}

// Holds preserves the holds of this node's gates over a restart, and shares them with other
// nodes.
type Holds struct {
	cfg  HoldsConfig
	wake chan struct{} // has capacity 1: a hold has changed here or elsewhere
	// stored are the holds that are both here and in the store, as the store has them. Only
	// the loop uses it.
	stored map[store.Target]store.Hold
}

// NewHolds returns the holds of some gates.
func NewHolds(cfg HoldsConfig) *Holds {
	return &Holds{cfg, make(chan struct{}, 1), map[store.Target]store.Hold{}}
}

// Wake synchronizes now: a hold has changed here or elsewhere. It does not block.
func (h *Holds) Wake() { supervise.Wake(h.wake) }

// Restore resumes the holds that a former process stored. A provider that asked us to wait
// is not called before that time. A key is different: operators restart after fixing
// something, so a new key is free, and the old one is probed at once. Restore is called
// before Run.
func (h *Holds) Restore(ctx context.Context) error {
	stored, err := h.cfg.Store.Holds(ctx)
	if err != nil {
		return err
	}
	for _, hold := range stored {
		if h.cfg.Gates.KeyHash(hold.Target) != hold.Key {
			h.cfg.Logger.Info("hold not taken over: the provider has another key, or is gone", "provider", hold.Provider)
			if !h.cfg.Session().HasPeers() {
				h.stored[hold.Target] = hold // keep drops it
			}
			continue
		}
		h.stored[hold.Target] = hold
		if hold.Key != "" {
			hold.Until = h.cfg.Clock.Now()
		}
		h.take(hold)
	}
	return nil
}

// take begins a hold that is in the store, or lengthens the one in effect.
func (h *Holds) take(hold store.Hold) {
	until := hold.Until
	hold.Until = h.cfg.Clock.Local(until)
	if h.cfg.Gates.Hold(hold) {
		h.cfg.Logger.Info("hold taken over", "provider", hold.Provider, "model", hold.Model, "reason", hold.Reason, "until", until)
	}
}

// Run synchronizes the holds here with those in the store until ctx is done: every second,
// and at once when woken.
func (h *Holds) Run(ctx context.Context) error {
	tick := time.NewTicker(holdsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-h.wake:
		}
		from := storedFrom
		if h.cfg.Session().HasPeers() {
			from = sharedFrom
			h.cfg.Supervisor.KeepHouse(ctx, "read holds", func() error { return h.learn(ctx) })
		}
		h.cfg.Supervisor.KeepHouse(ctx, "store holds", func() error { return h.keep(ctx, from) })
	}
}

// learn applies what other nodes have stored: holds that are new or longer, and the end of
// those that a successful probe has ended there.
func (h *Holds) learn(ctx context.Context) error {
	stored, err := h.cfg.Store.Holds(ctx)
	if err != nil {
		return err
	}
	there := map[store.Target]bool{}
	for _, hold := range stored {
		if h.cfg.Gates.KeyHash(hold.Target) != hold.Key || !h.cfg.Gates.Knows(hold.Provider) {
			if h.cfg.Clock.Now().Sub(hold.Until) > foreignHoldFor {
				if err := h.cfg.Store.DropHold(ctx, hold.Target); err != nil {
					return err
				}
			}
			continue
		}
		there[hold.Target] = true
		if old, known := h.stored[hold.Target]; !known || !old.Until.Equal(hold.Until) {
			h.stored[hold.Target] = hold
			h.take(hold)
		}
	}
	h.endMissing(there)
	return nil
}

// endMissing ends the holds that other nodes have dropped from the store.
func (h *Holds) endMissing(there map[store.Target]bool) {
	for t, old := range h.stored {
		if there[t] {
			continue
		}
		delete(h.stored, t)
		if h.cfg.Gates.Free(t, h.cfg.Clock.Local(old.Until.Add(holdDrift))) {
			h.cfg.Logger.Info("hold is over: another node has found out", "provider", t.Provider, "model", t.Model)
			h.cfg.Freed()
		}
	}
}

// keep stores holds that have begun or changed, if they last long enough, and drops those
// that are over.
func (h *Holds) keep(ctx context.Context, from time.Duration) error {
	now := h.cfg.Clock.Now()
	standing, changes := map[store.Target]bool{}, 0
	for _, hold := range h.cfg.Gates.Holds() {
		standing[hold.Target] = true
		hold.Key, hold.Until = h.cfg.Gates.KeyHash(hold.Target), h.cfg.Clock.Shared(hold.Until).Truncate(time.Millisecond)
		old, known := h.stored[hold.Target]
		if known && old.Key == hold.Key && hold.Until.Sub(old.Until) < holdDrift {
			continue // no longer than the stored one: nodes must not outbid each other forever
		}
		if hold.Until.Sub(now) < from {
			continue // nearly over; the stored one is dropped when it is
		}
		if err := h.cfg.Store.PutHold(ctx, hold); err != nil {
			return err
		}
		h.stored[hold.Target] = hold
		if changes++; changes == holdsAtOnce {
			return nil // the rest at the next comparison
		}
	}
	for t := range h.stored {
		if standing[t] {
			continue
		}
		if err := h.cfg.Store.DropHold(ctx, t); err != nil {
			return err
		}
		delete(h.stored, t)
	}
	return nil
}
