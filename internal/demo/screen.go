package demo

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/ringback/ringback/internal/terminal"
)

// screen shows the story: a line for each event, with its time and its actor. On a
// terminal that is wide enough the last line may be live: it is overwritten as it changes.
type screen struct {
	paint terminal.Painter
	alive bool // the last line may be live

	mu     sync.Mutex // guards what follows
	out    io.Writer
	begin  time.Time
	isLive bool // the last line is live
}

// liveWidth is the width in columns that a live line needs. A line that the terminal
// wraps cannot be overwritten.
const liveWidth = 100

func newScreen(out io.Writer, term terminal.Terminal) *screen {
	return &screen{paint: terminal.Painter(term.Color), alive: term.Is && term.Color && term.Width >= liveWidth, out: out, begin: time.Now()}
}

// headf begins the story.
func (s *screen) headf(format string, args ...any) { s.text(fmt.Sprintf(format, args...) + "\n") }

// footf ends it.
func (s *screen) footf(format string, args ...any) {
	s.text("      " + s.paint.Green(fmt.Sprintf(format, args...)) + "\n")
}

// text writes lines as they are.
func (s *screen) text(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(text)
}

// sayf writes a line with its actor.
func (s *screen) sayf(who, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(s.line(time.Since(s.begin), who, fmt.Sprintf(format, args...)) + "\n")
}

// live shows a line that will change. It shows nothing unless the screen is a wide terminal.
func (s *screen) live(who, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.alive {
		return
	}
	s.write(s.line(time.Since(s.begin), who, text))
	s.isLive = true
}

// settle writes the final text of a live line.
func (s *screen) settle(who, text string) { s.sayf(who, "%s", text) }

// write writes text, over the live line if there is one.
func (s *screen) write(text string) {
	if s.isLive {
		text = terminal.ClearLine + text
		s.isLive = false
	}
	_, _ = io.WriteString(s.out, text) // a closed screen has no reader
}

func (s *screen) line(at time.Duration, who, text string) string {
	paint := s.paint.Bold
	if who == "kill -9" {
		paint = s.paint.Red
	}
	return s.paint.Dim(fmt.Sprintf("%4.1fs", at.Seconds())) + " " + paint(fmt.Sprintf("%-9s", who)) + " " + text
}
