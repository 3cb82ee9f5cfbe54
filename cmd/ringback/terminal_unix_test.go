//go:build unix

package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/terminal"
)

// The sequences around the live line below a text, and the one that removes it.
const (
	belowBegin = "\x1bD\x1b[A\x1b7\x1bD\r\x1b[K"
	belowEnd   = "\x1b8"
	belowClear = "\x1b[J"
)

// onTerminal runs the real program on a terminal of 120 columns, types input into it, and
// returns what was on the screen, with the exit code.
func onTerminal(t *testing.T, url, input string, env []string, args ...string) (screen string, code int) {
	t.Helper()
	program, err := exec.LookPath("ringback")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append([]string{"TERM=xterm", "HOME=" + t.TempDir(), "RINGBACK_URL=" + url}, env...)
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 120})
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	if _, err := io.WriteString(tty, input); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(tty)
	if err != nil && !errors.Is(err, syscall.EIO) { // the end of a terminal whose program has ended
		t.Fatal(err)
	}
	err = cmd.Wait()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if err != nil && !ok {
		t.Fatal(err)
	}
	if ok {
		code = exit.ExitCode()
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n"), code
}

func startSimulated(t *testing.T) started {
	t.Helper()
	return start(t, []string{"--addr", "127.0.0.1:0", "--data", t.TempDir(), "--simulate", "--drain-timeout", "0s"}, nil)
}

// failed makes a job that fails.
func failed(t *testing.T, c *client.Client) string {
	t.Helper()
	accepted, err := c.Submit(t.Context(), ringback.Request{Prompt: "Hi", Model: "sim/status-400", Events: &[]ringback.EventType{}})
	if err != nil {
		t.Fatal(err)
	}
	if job, err := c.Wait(t.Context(), accepted.JobID); err != nil || job.Status != ringback.Failed {
		t.Fatalf("got %s, %v, want failed", job.Status, err)
	}
	return accepted.JobID
}

func TestOnATerminalAWaitIsALineThatIsWrittenOver(t *testing.T) {
	s := startSimulated(t)
	args := []string{"submit", "--wait", "--model", "sim/slow?words=40&pace=100ms", "Hello"}
	screen, code := onTerminal(t, s.url, "", nil, args...)
	if code != 0 || !strings.Contains(screen, terminal.ClearLine+"job ") || !strings.Contains(screen, " running · 1.") {
		t.Errorf("exit code %d, no progress line on %q", code, screen)
	}
	if _, after, _ := strings.Cut(screen, terminal.ClearLine); strings.Count(after, "\n") != 1 {
		t.Errorf("beside the answer a line is left: %q", screen)
	}
	screen, _ = onTerminal(t, s.url, "", []string{"TERM=dumb"}, args...)
	if strings.Contains(screen, "\x1b") || strings.Contains(screen, " running ") {
		t.Errorf("on a dumb terminal: %q", screen)
	}
	screen, _ = onTerminal(t, s.url, "", nil, append(args, "--quiet")...)
	if strings.Contains(screen, "\x1b") || strings.Contains(screen, "job ") {
		t.Errorf("with --quiet: %q", screen)
	}
}

func TestWhatStrangersWroteDoesNotSteerTheTerminal(t *testing.T) {
	s := startSimulated(t)
	const evil = "red \x1b[31mtext\x07 \u202egnp.exe"
	const tame = `red \u001b[31mtext\u0007 \u202egnp.exe`
	screen, _ := onTerminal(t, s.url, "", []string{"NO_COLOR=1"}, "submit", "--wait", evil)
	if !strings.Contains(screen, tame) || strings.Contains(strings.ReplaceAll(screen, terminal.ClearLine, ""), "\x1b") {
		t.Errorf("an answer: %q", screen)
	}
	id := strings.Fields(screen)[1]
	screen, _ = onTerminal(t, s.url, "", []string{"NO_COLOR=1"}, "jobs", "show", id)
	if !strings.Contains(screen, "answer: "+tame) || strings.Contains(screen, "\x1b") {
		t.Errorf("a job: %q", screen)
	}
	// A program gets the bytes unchanged.
	cmd := exec.CommandContext(t.Context(), "ringback", "jobs", "show", "--result", id)
	cmd.Env = append(os.Environ(), "RINGBACK_URL="+s.url)
	if out, err := cmd.Output(); err != nil || string(out) != evil+"\n" {
		t.Errorf("to a pipe: %q, %v", out, err)
	}
}

func TestColoursAreForTerminalsThatWantThem(t *testing.T) {
	s := startSimulated(t)
	failed(t, s.client)
	const red = "\x1b[31mfailed\x1b[0m"
	if screen, _ := onTerminal(t, s.url, "", nil, "jobs", "list"); !strings.Contains(screen, red) {
		t.Errorf("a terminal: %q", screen)
	}
	for name, screen := range map[string]func() (string, int){
		"NO_COLOR":   func() (string, int) { return onTerminal(t, s.url, "", []string{"NO_COLOR=1"}, "jobs", "list") },
		"TERM=dumb":  func() (string, int) { return onTerminal(t, s.url, "", []string{"TERM=dumb"}, "jobs", "list") },
		"--no-color": func() (string, int) { return onTerminal(t, s.url, "", nil, "jobs", "list", "--no-color") },
	} {
		if text, _ := screen(); strings.Contains(text, "\x1b") || !strings.Contains(text, "failed") {
			t.Errorf("%s: %q", name, text)
		}
	}
}

func TestOnATerminalDeadLettersAreReplayedWithABar(t *testing.T) {
	s := startSimulated(t)
	for range 3 {
		failed(t, s.client)
	}
	screen, code := onTerminal(t, s.url, "", nil, "dead", "replay", "--kind", "job", "--all", "--patch", `{"model":"sim/echo"}`)
	if code != 0 || !strings.Contains(screen, "replaying dead jobs [") || !strings.Contains(screen, " 3 of 3 ") || !strings.Contains(screen, "3 of 3 dead jobs repeated\n") {
		t.Errorf("exit code %d: %q", code, screen)
	}
}

func TestWhatCannotBeUndoneIsAskedAbout(t *testing.T) {
	s := startSimulated(t)
	first, second := failed(t, s.client), failed(t, s.client)
	for input, want := range map[string]string{"n\n": "nothing was done", "\n": "nothing was done", "\x04": "nothing was done"} {
		screen, code := onTerminal(t, s.url, input, nil, "jobs", "erase", first)
		if code != exit.Failure || !strings.Contains(screen, "Delete request and answer of job "+first+" for good? [y/N]") || !strings.Contains(screen, want) {
			t.Errorf("answered %q: exit code %d: %q", input, code, screen)
		}
	}
	screen, code := onTerminal(t, s.url, "y\n", nil, "jobs", "erase", first)
	if code != 0 || !strings.Contains(screen, "job "+first+" is erased") {
		t.Errorf("answered yes: exit code %d: %q", code, screen)
	}
	screen, code = onTerminal(t, s.url, "yes\n", nil, "dead", "purge", "--kind", "job", "--all")
	if code != 0 || !strings.Contains(screen, "Delete 1 dead job for good? [y/N]") || !strings.Contains(screen, "1 of 1 dead jobs erased") {
		t.Errorf("purge of %s: exit code %d: %q", second, code, screen)
	}
}

func TestOnATerminalAPromptIsNotWaitedFor(t *testing.T) {
	screen, code := onTerminal(t, "http://127.0.0.1:1", "", nil, "submit")
	if code != exit.Usage || !strings.Contains(screen, "there is no prompt; pass it as an argument, with --file, or on stdin") {
		t.Errorf("exit code %d: %q", code, screen)
	}
}

// On a terminal the line of tokens and time is below the growing text, and leaves nothing
// behind.
func TestOnATerminalAnAnswerGrowsAboveItsLine(t *testing.T) {
	s := startSimulated(t)
	args := []string{"submit", "--stream", "--model", "sim/slow?words=60&pace=20ms", "Hello"}
	screen, code := onTerminal(t, s.url, "", []string{"NO_COLOR=1"}, args...)
	line := regexp.MustCompile(regexp.QuoteMeta(belowBegin) + `about \d+ tokens · [0-9.]+ m?s · running · attempt 1 · sim/slow\S*` + regexp.QuoteMeta(belowEnd))
	if n := len(line.FindAllString(screen, -1)); code != 0 || n < 10 {
		t.Errorf("exit code %d, %d lines below the text: %q", code, n, screen)
	}
	lines := strings.Split(strings.ReplaceAll(line.ReplaceAllString(screen, ""), belowClear, ""), "\n")
	id := strings.Fields(lines[0])[1]
	job, err := s.client.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != 5 || !strings.Contains(lines[1], "  running · ") || lines[2] != *job.Result || !strings.Contains(lines[3], "  completed · ") || lines[4] != "" {
		t.Errorf("without its line: %q", lines)
	}
	if screen, _ := onTerminal(t, s.url, "", []string{"TERM=dumb"}, args...); strings.Contains(screen, "\x1b") || !strings.Contains(screen, *job.Result+"\n") {
		t.Errorf("on a dumb terminal: %q", screen)
	}
}

func TestOnATerminalThoughtsAreDimAndATornAnswerIsMarked(t *testing.T) {
	s := startSimulated(t)
	screen, code := onTerminal(t, s.url, "", nil, "submit", "--stream", "--thinking", "--model", "sim/think", "Hello")
	if code != 0 || !strings.Contains(screen, "\x1b[2m") || !strings.Contains(screen, "\nHello") {
		t.Errorf("exit code %d: %q", code, screen)
	}
	screen, code = onTerminal(t, s.url, "", nil, "submit", "--stream", "--max-attempts", "1", "--model", "sim/break-off-3", "--fallback-model", "sim/echo", "Hello")
	if code != 0 || !strings.Contains(screen, "the text above is void: the attempt broke off; attempt ") {
		t.Errorf("exit code %d: %q", code, screen)
	}
}

func TestAGrowingAnswerDoesNotSteerTheTerminal(t *testing.T) {
	s := startSimulated(t)
	screen, _ := onTerminal(t, s.url, "", []string{"TERM=dumb"}, "submit", "--stream", "red \x1b[31mtext\x07")
	if !strings.Contains(screen, `red \u001b[31mtext\u0007`) || strings.Contains(screen, "\x1b") {
		t.Errorf("got %q", screen)
	}
}
