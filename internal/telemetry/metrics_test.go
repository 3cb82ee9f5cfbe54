package telemetry_test

import (
	"testing"

	"github.com/ringback/ringback/internal/telemetry"
)

func TestTheRegistryKnowsTheProcessAndItsBuild(t *testing.T) {
	families, err := telemetry.NewRegistry(telemetry.Build{Version: "1.2.3", Revision: "abc", Go: "go1"}).Gather()
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, f := range families {
		have[f.GetName()] = true
		if f.GetName() == "ringback_build_info" {
			got := map[string]string{}
			for _, l := range f.GetMetric()[0].GetLabel() {
				got[l.GetName()] = l.GetValue()
			}
			if got["version"] != "1.2.3" || got["revision"] != "abc" || got["go"] != "go1" {
				t.Errorf("ringback_build_info says %v", got)
			}
		}
	}
	for _, want := range []string{"ringback_build_info", "go_goroutines", "go_memstats_heap_alloc_bytes"} {
		if !have[want] {
			t.Errorf("%s is missing", want)
		}
	}
}
