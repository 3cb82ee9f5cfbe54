package api_test

import (
	"encoding/json"
	"iter"
	"net/http"
	"testing"
)

// node is a part of the document.
type part struct {
	t     *testing.T
	value any
}

// document is what the server says of itself.
func (w *world) document() part {
	w.t.Helper()
	got := w.do("GET", "/openapi.json", "")
	if got.StatusCode != http.StatusOK || got.Header.Get("Content-Type") != "application/json" {
		w.t.Fatalf("got %s %s", got.Status, got.Header.Get("Content-Type"))
	}
	p := part{t: w.t}
	must(w.t, json.Unmarshal([]byte(got.body), &p.value))
	return p
}

// at follows the names of members.
func (p part) at(names ...string) part {
	p.t.Helper()
	for _, name := range names {
		object, _ := p.value.(map[string]any)
		if object[name] == nil {
			p.t.Fatalf("there is no %q in %.200v", name, p.value)
		}
		p.value = object[name]
	}
	return p
}

func (p part) members() iter.Seq2[string, part] {
	return func(yield func(string, part) bool) {
		object, _ := p.value.(map[string]any)
		for name, value := range object {
			if !yield(name, part{p.t, value}) {
				return
			}
		}
	}
}
