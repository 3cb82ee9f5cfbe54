package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/simulate"
)

// On a terminal the demo shows the answer as it comes, and stays up until it is
// told to end. Off one it is a script: testdata/demo.txtar.
func TestOnATerminalTheDemoStaysUpAndShowsWhatIsPlayed(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("ringback")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, ended := &lockedBuffer{}, make(chan error, 1)
	go func() { ended <- runDemo(ctx, program, "", out, terminal{is: true, color: true, width: 120}) }()
	waitUntil(t, "the story is told", func() bool { return strings.Contains(out.String(), "Up until Ctrl-C") })
	for _, live := range []string{"call 1: ", "call 2: 7"} {
		if !strings.Contains(out.String(), clearLine) || strings.Count(out.String(), live) < 5 {
			t.Errorf("%q was not shown as it came:\n%s", live, out)
		}
	}
	try := regexp.MustCompile(`curl (http://\S+)/api/generate(?s:.*)"callback_url":"(\S+)"`).FindStringSubmatch(out.String())
	if try == nil {
		t.Fatalf("there is nothing to try:\n%s", out)
	}
	c, err := client.New(client.Config{URL: try[1], HTTPClient: scriptClient})
	if err != nil {
		t.Fatal(err)
	}
	id := submit(t, c, "sim/echo", try[2])
	waitUntil(t, "the player's webhook is shown", func() bool {
		return strings.Contains(out.String(), "job.completed · both signatures verified · job "+short(id)+" · answers 200\n")
	})
	if !strings.Contains(out.String(), `call 3: sim/echo "sim/echo"`) {
		t.Errorf("the player's call is not shown:\n%s", out)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("it was told to end: %v", err)
	}
	dir := regexp.MustCompile(`data in (\S+),`).FindStringSubmatch(out.String())
	if _, err := os.Stat(dir[1]); err == nil {
		t.Errorf("%s is still there", dir[1])
	}
}

func TestADemoWhoseServerDoesNotStartShowsWhy(t *testing.T) {
	program := filepath.Join(t.TempDir(), "ringback")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho 'ringback: the moon is in the wrong phase' >&2\nexit 5\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := runDemo(t.Context(), program, "", &bytes.Buffer{}, terminal{})
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
	for name, term := range map[string]terminal{
		"a pipe": {}, "a narrow terminal": {is: true, color: true, width: 80}, "a dumb terminal": {is: true, width: 120},
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
