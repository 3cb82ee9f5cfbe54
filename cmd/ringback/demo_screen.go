package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// screen shows the story: a line for each thing that happens, with its time and
// who did it. On a terminal that is wide enough the last line may be live.
type screen struct {
	paint painter
	alive bool // the last line may be written over

	mu     sync.Mutex // guards what follows
	out    io.Writer
	begin  time.Time
	isLive bool // the last line is not finished
}

// liveWidth is what a live line needs: were it broken in two, it could not be
// written over.
const liveWidth = 100

const clearLine = "\r\x1b[K"

func newScreen(out io.Writer, term terminal) *screen {
	return &screen{paint: painter(term.color), alive: term.is && term.color && term.width >= liveWidth, out: out, begin: time.Now()}
}

// headf begins the story.
func (s *screen) headf(format string, args ...any) { s.text(fmt.Sprintf(format, args...) + "\n") }

// footf ends it.
func (s *screen) footf(format string, args ...any) {
	s.text("      " + s.paint.green(fmt.Sprintf(format, args...)) + "\n")
}

// text writes lines as they are.
func (s *screen) text(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(text)
}

// sayf writes a line of somebody.
func (s *screen) sayf(who, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(s.line(time.Since(s.begin), who, fmt.Sprintf(format, args...)) + "\n")
}

// live shows a line that goes on; off a wide terminal it shows nothing.
func (s *screen) live(who, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.alive {
		return
	}
	s.write(s.line(time.Since(s.begin), who, text))
	s.isLive = true
}

// settle writes the line that a live one has become.
func (s *screen) settle(who, text string) { s.sayf(who, "%s", text) }

// write writes over a live line.
func (s *screen) write(text string) {
	if s.isLive {
		text = clearLine + text
		s.isLive = false
	}
	_, _ = io.WriteString(s.out, text) // who closes the screen does not look
}

func (s *screen) line(at time.Duration, who, text string) string {
	paint := s.paint.bold
	if who == "kill -9" {
		paint = s.paint.red
	}
	return s.paint.dim(fmt.Sprintf("%4.1fs", at.Seconds())) + " " + paint(fmt.Sprintf("%-9s", who)) + " " + text
}
