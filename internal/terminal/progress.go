package terminal

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/ringback/ringback/internal/plain"
)

// Progress shows how a long operation is going: on a terminal by one line that is
// overwritten, elsewhere by a line every few seconds.
type Progress struct {
	out   io.Writer
	Live  bool
	width int

	mu    sync.Mutex // guards what follows
	below bool       // the live line is shown below text that grows
	shown bool       // a live line is on the screen
	next  time.Time  // the earliest time of the next line; not on a terminal
}

// progressEvery is the time between lines if the output is not a terminal.
const progressEvery = 5 * time.Second

// NewProgress returns a Progress. It shows nothing if the command is quiet or prints JSON.
func (o *Output) NewProgress() *Progress {
	p := &Progress{out: o.Talk, Live: o.TalkTo.Is && !o.TalkTo.dumb, width: o.TalkTo.Width, next: time.Now().Add(progressEvery)}
	if o.Quiet || o.JSON {
		p.out = io.Discard
	}
	return p
}

// Pace returns how often to call Show.
func (p *Progress) Pace() time.Duration {
	if p.Live {
		return time.Second
	}
	return progressEvery
}

// Show shows the current state.
func (p *Progress) Show(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text = plain.OneLine(text)
	switch {
	case p.Live:
		if p.width > 1 {
			text = plain.Cut(text, p.width-1) // a line that the terminal wraps cannot be overwritten
		}
		if p.below {
			text = beginBelow + text + endBelow
		} else {
			text = ClearLine + text
		}
		_, _ = io.WriteString(p.out, text)
		p.shown = true
	case !time.Now().Before(p.next):
		_, _ = io.WriteString(p.out, text+"\n")
		p.next = time.Now().Add(progressEvery)
	}
}

// Clear removes the live line.
func (p *Progress) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		text := ClearLine
		if p.below {
			text = clearBelow
		}
		_, _ = io.WriteString(p.out, text)
		p.shown = false
	}
}

// The sequences around a live line below text: beginBelow first makes a line, which may
// scroll the screen, and only then saves the position that the cursor returns to.
const (
	beginBelow = "\x1bD\x1b[A\x1b7\x1bD\r\x1b[K"
	endBelow   = "\x1b8"
	clearBelow = "\x1b[J"
)

// Share makes room for data that is printed meanwhile. If the data goes to a terminal, the
// live line is shown below it. If it goes to a pipe, which may lead to the same terminal,
// there is no live line.
func (p *Progress) Share(to Terminal, out io.Writer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.Live:
	case to.Is:
		p.below = true
	case !isFile(out):
		p.Live, p.out = false, io.Discard
	}
}

// PartsBar shows how many parts of an operation are done: by a bar on a terminal, elsewhere
// by a line every few seconds.
type PartsBar struct {
	lines *Progress // what shows it if there is no bar
	what  string

	bars *mpb.Progress
	bar  *mpb.Bar
}

// NewPartsBar returns a bar of an operation, such as "replaying dead jobs". End must be called.
func (o *Output) NewPartsBar(what string) *PartsBar {
	b := &PartsBar{lines: o.NewProgress(), what: what}
	if !b.lines.Live || b.lines.out == io.Discard {
		return b
	}
	b.bars = mpb.New(mpb.WithOutput(o.Talk), mpb.WithWidth(40), mpb.WithAutoRefresh())
	b.bar = b.bars.AddBar(0,
		mpb.PrependDecorators(decor.Name(what)),
		mpb.AppendDecorators(decor.CountersNoUnit(" %d of %d "), decor.AverageETA(decor.ET_STYLE_GO)),
	)
	return b
}

// Show shows that done of total parts are done.
func (b *PartsBar) Show(done, total int) {
	if b.bar == nil {
		b.lines.Show(fmt.Sprintf("%s: %d of %d", b.what, done, total))
		return
	}
	b.bar.SetTotal(int64(max(total, 1)), false)
	b.bar.SetCurrent(int64(done))
}

// End ends the bar and leaves it on the screen.
func (b *PartsBar) End() {
	if b.bar == nil {
		return
	}
	if !b.bar.Completed() {
		b.bar.Abort(false)
	}
	b.bars.Wait()
}
