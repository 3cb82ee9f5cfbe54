package main

import (
	"strings"
	"testing"
)

func TestAStartWarnsOfModelsThatTheirMakersRetire(t *testing.T) {
	file := write(t, "default_model: claude-sonnet-4-5\nroutes:\n"+
		"  - {model: claude-opus-4-5, provider: simulated}\n  - {model: claude-sonnet-5-5, provider: simulated}\n  - {model: \"claude-*\", provider: simulated}\n")
	s := start(t, []string{"--config", file, "--addr", "127.0.0.1:0", "--data", t.TempDir(), "--simulate"}, nil)
	s.stop()
	log := s.log.String()
	for _, want := range []string{
		`"setting":"default_model","model":"claude-sonnet-4-5","retired_on":"2026-11-30","successor":"claude-sonnet-5-5"`,
		`"setting":"routes[0].model","model":"claude-opus-4-5","retired_on":"2027-01-22"`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	if n := strings.Count(log, "retired_on"); n != 2 {
		t.Errorf("got %d warnings, want 2:\n%s", n, log)
	}
}
