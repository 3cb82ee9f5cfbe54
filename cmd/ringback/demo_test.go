package main

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/demo"
	"github.com/ringback/ringback/internal/terminal"
)

// On a terminal the demo shows the answer as it grows, and stays up until it is told to
// end. Elsewhere it is a script: testdata/demo.txtar.
func TestOnATerminalTheDemoStaysUpAndShowsWhatIsPlayed(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("ringback")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, ended := &lockedBuffer{}, make(chan error, 1)
	go func() {
		ended <- demo.Run(ctx, demo.Config{
			Program: program, Environ: environWithoutSettings(), Up: msgUp,
			Out: out, Terminal: terminal.Terminal{Is: true, Color: true, Width: 120},
		})
	}()
	waitUntil(t, "the story is told", func() bool { return strings.Contains(out.String(), "Up until Ctrl-C") })
	for _, live := range []string{"call 1: ", "call 2: 7"} {
		if !strings.Contains(out.String(), terminal.ClearLine) || strings.Count(out.String(), live) < 5 {
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
		return strings.Contains(out.String(), "job.completed · both signatures verified · job "+id[:8]+"-… · answers 200\n")
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
