package demo

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/simulate"
	"github.com/ringback/ringback/internal/terminal"
)

func TestADemoWhoseServerDoesNotStartShowsWhy(t *testing.T) {
	program := filepath.Join(t.TempDir(), "ringback")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho 'ringback: the moon is in the wrong phase' >&2\nexit 5\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := Run(t.Context(), Config{Program: program, Out: &bytes.Buffer{}})
	if err == nil || !strings.Contains(err.Error(), "the moon is in the wrong phase") || !strings.Contains(err.Error(), "exit status 5") {
		t.Errorf("got %v", err)
	}
}

func TestTheDemoFindsWhatDidNotHold(t *testing.T) {
	answered := simulate.Call{End: simulate.Answered}
	cut := simulate.Call{End: simulate.ClientLeft}
	good := simulate.Delivery{ID: "dlv", Type: "job.completed", Body: []byte("{}")}
	bad := good
	bad.SimpleErr = fmt.Errorf("no")
	other := good
	other.Body = []byte("{ }")
	moved := good
	moved.ID = "dlv2"
	uncertain, answer := ringback.Attempt{Number: 1, Outcome: ringback.AttemptUncertain}, ringback.Attempt{Number: 2, Outcome: ringback.AttemptAnswered}
	tries := func(codes ...int) (d ringback.Delivery) {
		d.Status = ringback.DeliveryDelivered
		for _, c := range codes {
			d.Tries = append(d.Tries, ringback.Try{StatusCode: c})
		}
		return d
	}
	for name, c := range map[string]struct {
		check func(*findings)
		want  string // "": nothing is found
	}{
		"all is well": {func(f *findings) {
			f.job(ringback.Job{Status: ringback.Completed}, []ringback.Attempt{uncertain, answer})
			f.calls([]simulate.Call{cut, answered})
			f.delivery(tries(500, 200))
			f.received([]simulate.Delivery{good, good}, "dlv")
		}, ""},
		"a failed job": {func(f *findings) { f.job(ringback.Job{Status: ringback.Failed}, []ringback.Attempt{uncertain, answer}) }, "the job is failed"},
		"an attempt too many": {func(f *findings) {
			f.job(ringback.Job{Status: ringback.Completed}, []ringback.Attempt{uncertain, uncertain, answer})
		}, "the ledger says"},
		"a call too many":         {func(f *findings) { f.calls([]simulate.Call{cut, answered, answered}) }, "called 3 times"},
		"a call that was not cut": {func(f *findings) { f.calls([]simulate.Call{answered, answered}) }, "provider call 1 did not end"},
		"a lucky receiver":        {func(f *findings) { f.delivery(tries(200)) }, "met [200]"},
		"a missing webhook":       {func(f *findings) { f.received([]simulate.Delivery{good}, "dlv") }, "got 1 webhooks"},
		"other bytes":             {func(f *findings) { f.received([]simulate.Delivery{good, other}, "dlv") }, "other bytes"},
		"another id":              {func(f *findings) { f.received([]simulate.Delivery{good, moved}, "dlv") }, "came as dlv2"},
		"a wrong signature":       {func(f *findings) { f.received([]simulate.Delivery{good, bad}, "dlv") }, "did not verify"},
	} {
		var f findings
		c.check(&f)
		if got := strings.Join(f, "; "); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: found %q, want %q", name, got, c.want)
		}
	}
}

func TestOffAWideTerminalNoLineIsWrittenOver(t *testing.T) {
	for name, term := range map[string]terminal.Terminal{
		"a pipe": {}, "a narrow terminal": {Is: true, Color: true, Width: 80}, "a dumb terminal": {Is: true, Width: 120},
	} {
		var out bytes.Buffer
		s := newScreen(&out, term)
		s.live("provider", "call 1")
		s.sayf("provider", "call %d", 1)
		if text := regexp.MustCompile(`\x1b\[\d+m`).ReplaceAllString(out.String(), ""); text != " 0.0s provider  call 1\n" {
			t.Errorf("%s: %q", name, text)
		}
	}
}
