package dispatch

import (
	"maps"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/ringback/ringback/internal/store"
)

// modelNames are the models with a lane and a label of their own: those that the
// configuration names, and maxOwnModels others of those that are requested. Callers choose
// the names of models, so a name must be earned: the first openModels get one at once,
// after these the uses that it takes double with every tenth. A model keeps its name, so
// that counters never fall, and invented models can't displace those in use.
type modelNames struct {
	configured int
	own        atomic.Pointer[map[string]bool] // never changed, only replaced

	mu   sync.Mutex
	uses map[string]int // of models without a name
}

const (
	maxOwnModels = 200
	openModels   = 100
	// maxCounted bounds the models whose uses are counted.
	maxCounted = 1000
	// otherModels is the lane and the label of all models without one of their own.
	otherModels = "other"
)

func newModelNames(named map[string]bool) *modelNames {
	m := &modelNames{configured: len(named), uses: map[string]int{}}
	m.own.Store(&named)
	return m
}

// name returns the model under which slots are shared and uses are counted.
func (m *modelNames) name(model string) string {
	if (*m.own.Load())[model] {
		return model
	}
	return otherModels
}

// given returns how many models that the configuration does not name have a name.
func (m *modelNames) given() int { return len(*m.own.Load()) - m.configured }

// wait names the models whose jobs wait, while names are free: these models are about to
// take slots.
func (m *modelNames) wait(due []store.LaneWaiting) {
	for _, l := range due {
		if m.given() >= openModels {
			return
		}
		m.used(l.Lane.Model)
	}
}

// used counts a use of a model, which may earn the model a name.
func (m *modelNames) used(model string) {
	if m.name(model) == model || m.given() == maxOwnModels || !utf8.ValidString(model) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	given, own := m.given(), *m.own.Load()
	if given == maxOwnModels || own[model] {
		return
	}
	m.uses[model]++
	if m.uses[model] < price(given) {
		m.forget()
		return
	}
	delete(m.uses, model)
	own = maps.Clone(own)
	own[model] = true
	m.own.Store(&own)
}

// price returns how many uses the next name takes when so many are given.
func price(given int) int { return 1 << max(0, (given-openModels+10)/10) }

// forget halves all counts when there are too many: models that were used once go. The
// caller holds the lock.
func (m *modelNames) forget() {
	for len(m.uses) > maxCounted {
		for model, n := range m.uses {
			if m.uses[model] = n / 2; n < 2 {
				delete(m.uses, model)
			}
		}
	}
}
