package dispatch

import (
	"encoding/json"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/store"
)

// gateMemory is how long the gate of a model that nobody calls is remembered.
const gateMemory = time.Hour

// anyModel means all models of a provider: its key is held back.
const anyModel = "*"

// Hold is a hold on a provider's key, or on a model of it.
type Hold struct {
	Provider string
	Model    string // "" if it is on the key
	Reason   string
	Until    time.Time // on the shared clock
	// JobOnly reports that the key is in doubt: all calls since the last answer were
	// refused. Until different jobs were, only the refused ones wait.
	JobOnly bool
	// HeldBy is the call that was refused or failed; nil if it is unknown.
	HeldBy *ringback.HeldBy
}

// Holds lists the holds that are in effect.
func (d *Dispatcher) Holds() []Hold {
	shared := func(local time.Time) time.Time { return d.cfg.Clock.Shared(local).UTC().Truncate(time.Millisecond) }
	var holds []Hold
	for _, h := range d.scheduler.holds() {
		shown := Hold{Provider: h.Provider, Model: h.Model, Reason: h.Reason, Until: shared(h.Until)}
		if c, known := unpackCause(h.Cause); known {
			shown.HeldBy = c.show(c.Project)
		}
		holds = append(holds, shown)
	}
	for _, own := range d.scheduler.doubted() {
		holds = append(holds, Hold{
			Provider: own.provider, Reason: reasonKey, Until: shared(own.until), JobOnly: true, HeldBy: own.cause.show(own.cause.Project),
		})
	}
	return holds
}

// HeldBack calls count with each provider and label of a model, and how many holds are in
// effect there. The model "*" is the provider's key. Keys, and models that are called,
// count 0 when they are not held. A key counts too while every call since the last answer
// was refused.
func (d *Dispatcher) HeldBack(count func(provider, model string, holds int)) {
	for t, holds := range d.scheduler.heldBack() {
		count(t.provider, t.model, holds)
	}
}

// Gates are the gates of the providers' keys and models, as package cluster shares their
// holds. Times are local.
type Gates struct{ scheduler *scheduler }

// Gates returns the gates.
func (d *Dispatcher) Gates() Gates { return Gates{d.scheduler} }

// Holds lists the holds in effect, without the hashes of their keys.
func (g Gates) Holds() []store.Hold { return g.scheduler.holds() }

// Hold begins a hold of another process, or lengthens the one in effect. It returns false
// if that one is longer, or its provider is gone.
func (g Gates) Hold(h store.Hold) bool { return g.scheduler.hold(h) }

// Free ends the hold of a target unless it lasts longer than until. It reports whether it
// has ended one.
func (g Gates) Free(t store.Target, until time.Time) bool { return g.scheduler.free(t, until) }

// Knows reports whether a provider is configured.
func (g Gates) Knows(provider string) bool { return g.scheduler.keys[provider] != nil }

// KeyHash returns the hash of the key of a target; "" of a model, or if the provider is gone.
func (g Gates) KeyHash(t store.Target) string {
	p, ok := g.scheduler.providers[t.Provider]
	if t.Model != "" || !ok {
		return ""
	}
	return p.Client.KeyHash()
}

// holds lists those in effect on keys and models, in local time.
func (s *scheduler) holds() []store.Hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	var holds []store.Hold
	note := func(t store.Target, g *limit.Gate) {
		if until, reason, held := g.Held(); held {
			holds = append(holds, store.Hold{Target: t, Until: until, Reason: reason, Cause: packCause(g.Cause())})
		}
	}
	for provider, g := range s.keys {
		note(store.Target{Provider: provider}, g)
	}
	for t, g := range s.gates {
		note(store.Target{Provider: t.provider, Model: t.model}, g)
	}
	return holds
}

// heldBack counts the holds in effect, by provider and by the label of the model.
func (s *scheduler) heldBack() map[target]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := map[target]int{}
	for provider, g := range s.keys {
		held[target{provider, anyModel}] = max(isHeld(g), min(1, len(s.records[provider].refused)))
	}
	for t, g := range s.gates {
		held[target{t.provider, s.names.name(t.model)}] += isHeld(g)
	}
	return held
}

func isHeld(g *limit.Gate) int {
	if _, _, held := g.Held(); held {
		return 1
	}
	return 0
}

// packCause returns what the store keeps of a gate's cause; "" if there is none.
func packCause(c any) string {
	known, ok := c.(cause)
	if !ok {
		return ""
	}
	packed, err := json.Marshal(known)
	if err != nil {
		return ""
	}
	return string(packed)
}

// unpackCause reads what packCause wrote; an older version stored none.
func unpackCause(packed string) (c cause, known bool) {
	return c, packed != "" && json.Unmarshal([]byte(packed), &c) == nil
}

// gateOf returns the gate of a model, or with anyModel that of the provider's key; nil if
// there is none.
func (s *scheduler) gateOf(t target) *limit.Gate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.model == anyModel {
		return s.keys[t.provider]
	}
	return s.gates[t]
}

// free ends the hold of a target, unless it lasts longer than the one that is over.
func (s *scheduler) free(t store.Target, until time.Time) bool {
	g := s.gateOf(target{t.Provider, t.Model})
	if t.Model == "" {
		g = s.gateOf(target{t.Provider, anyModel})
	}
	if g == nil {
		return false
	}
	ends, _, held := g.Held()
	if !held || ends.After(until) {
		return false
	}
	g.Free()
	if t.Model == "" {
		s.answeredElsewhere(t.Provider)
	}
	return true
}

// hold begins a hold of another process, or lengthens the one in effect.
func (s *scheduler) hold(h store.Hold) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.keys[h.Provider]
	if g == nil {
		return false
	}
	if h.Model != "" {
		g = s.modelGate(store.Lane{Provider: h.Provider, Model: h.Model})
	}
	verdict := limit.Refused
	if h.Reason == reasonFailing {
		verdict = limit.Failed
	}
	before, _, _ := g.Held()
	r := limit.Report{Verdict: verdict, Until: h.Until, Reason: h.Reason}
	if c, known := unpackCause(h.Cause); known {
		r.Cause = c
	}
	g.Resume(r)
	after, _, _ := g.Held()
	return after.After(before)
}

// held returns why a job waits: its provider's key or its model is on hold.
func (s *scheduler) held(l store.Lane) (reason string, held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holdOn(l)
}

// holdOn is held without the lock, which the caller holds.
func (s *scheduler) holdOn(l store.Lane) (reason string, held bool) {
	if key := s.keys[l.Provider]; key != nil {
		if _, reason, held := key.Held(); held {
			return reason, true
		}
	}
	if g := s.gates[target{l.Provider, l.Model}]; g != nil {
		if _, reason, held := g.Held(); held {
			return reason, true
		}
	}
	return "", false
}

// heldUntil returns when the holds on a lane may be over; the zero time if there are none.
func (s *scheduler) heldUntil(l store.Lane) (at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range []*limit.Gate{s.keys[l.Provider], s.gates[target{l.Provider, l.Model}]} {
		if g == nil {
			continue
		}
		if until, _, held := g.Held(); held {
			at = later(at, until)
		}
	}
	return at
}
