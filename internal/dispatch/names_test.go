package dispatch

import (
	"fmt"
	"testing"
)

const defaultModel = "default"

// newNames returns the names of a configuration that names these models.
func newNames(named ...string) *modelNames {
	models := map[string]bool{defaultModel: true}
	for _, model := range named {
		models[model] = true
	}
	return newModelNames(models)
}

// wantNamed checks whether models have names of their own.
func (m *modelNames) wantNamed(t *testing.T, want bool, models ...string) {
	t.Helper()
	for _, model := range models {
		if got := m.name(model) == model; got != want {
			t.Errorf("whether %q has a name of its own: got %v, want %v", model, got, want)
		}
	}
}

func TestAModelThatOnlyAPatternNamesHasANameOfItsOwn(t *testing.T) {
	names := newNames("claude-*", "gpt-5")
	names.wantNamed(t, false, "claude-opus-5")
	names.used("claude-opus-5")
	names.wantNamed(t, true, "claude-opus-5", "gpt-5", defaultModel)
}

func TestModelsThatAreMadeUpTakeNoNameFromThoseInUse(t *testing.T) {
	names := newNames()
	for i := range 50 {
		names.used(fmt.Sprint("before ", i))
	}
	for i := range 10_000 {
		names.used(fmt.Sprint("made up ", i))
		if i%100 == 0 {
			for late := range 20 {
				names.used(fmt.Sprint("late ", late))
			}
		}
	}
	for i := range 50 {
		names.wantNamed(t, true, fmt.Sprint("before ", i))
	}
	for late := range 20 {
		names.wantNamed(t, true, fmt.Sprint("late ", late))
	}
	names.wantNamed(t, false, "made up 9999")
	if given := names.given(); given > openModels+20 {
		t.Errorf("names given: %d, want at most %d", given, openModels+20)
	}
	if counted := len(names.uses); counted > maxCounted {
		t.Errorf("models counted: %d, want at most %d", counted, maxCounted)
	}
}

func TestTheNamesOfModelsAreBounded(t *testing.T) {
	names := newNames()
	for range 3000 {
		for i := range maxOwnModels + 50 {
			names.used(fmt.Sprint("model ", i))
		}
	}
	if given := names.given(); given != maxOwnModels {
		t.Errorf("names given: got %d, want %d", given, maxOwnModels)
	}
	names.used("a name that is no text: \xff")
	names.wantNamed(t, false, "a name that is no text: \xff")
}
