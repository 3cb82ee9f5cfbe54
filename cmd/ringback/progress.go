package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// progress shows how something long goes on: on a terminal one line that is
// written over, else a line every few seconds.
type progress struct {
	out   io.Writer
	live  bool
	width int

	mu    sync.Mutex // guards what follows
	below bool       // the live line stands below a text that grows
	shown bool       // a live line stands there
	next  time.Time  // when a line may follow, off a terminal
}

// progressEvery is the pause between the lines off a terminal.
const progressEvery = 5 * time.Second

// newProgress makes one that shows nothing if the command is quiet or its data is
// JSON.
func (o *output) newProgress() *progress {
	p := &progress{out: o.talk, live: o.to.is && !o.to.dumb, width: o.to.width, next: time.Now().Add(progressEvery)}
	if o.quiet || o.json {
		p.out = io.Discard
	}
	return p
}

// pace is how often it is worth to show something new.
func (p *progress) pace() time.Duration {
	if p.live {
		return time.Second
	}
	return progressEvery
}

// show shows how it stands.
func (p *progress) show(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text = oneLine(text)
	switch {
	case p.live:
		if p.width > 1 {
			text = cut(text, p.width-1) // a line that is broken in two cannot be written over
		}
		if p.below {
			text = beginBelow + text + endBelow
		} else {
			text = clearLine + text
		}
		_, _ = io.WriteString(p.out, text)
		p.shown = true
	case !time.Now().Before(p.next):
		_, _ = io.WriteString(p.out, text+"\n")
		p.next = time.Now().Add(progressEvery)
	}
}

// clear takes the live line away.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		text := clearLine
		if p.below {
			text = clearBelow
		}
		_, _ = io.WriteString(p.out, text)
		p.shown = false
	}
}

// The live line below a text: a line is made there first, which may scroll the screen,
// and only then the place is remembered to which the cursor goes back.
const (
	beginBelow = "\x1bD\x1b[A\x1b7\x1bD\r\x1b[K"
	endBelow   = "\x1b8"
	clearBelow = "\x1b[J"
)

// share makes room for data that is being written beside it: on a terminal the line
// goes below; through a pipe the data may come to the same terminal, and there is none.
func (p *progress) share(to terminal, out io.Writer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.live:
	case to.is:
		p.below = true
	case !isFile(out):
		p.live, p.out = false, io.Discard
	}
}

// partsBar is a bar on a terminal, else a line every few seconds.
type partsBar struct {
	lines *progress // nil where bar is
	what  string

	bars *mpb.Progress
	bar  *mpb.Bar
}

func (o *output) newPartsBar(what string) *partsBar {
	b := &partsBar{lines: o.newProgress(), what: what}
	if !b.lines.live || b.lines.out == io.Discard {
		return b
	}
	b.bars = mpb.New(mpb.WithOutput(o.talk), mpb.WithWidth(40), mpb.WithAutoRefresh())
	b.bar = b.bars.AddBar(0,
		mpb.PrependDecorators(decor.Name(what)),
		mpb.AppendDecorators(decor.CountersNoUnit(" %d of %d "), decor.AverageETA(decor.ET_STYLE_GO)),
	)
	return b
}

func (b *partsBar) show(done, total int) {
	if b.bar == nil {
		b.lines.show(fmt.Sprintf("%s: %d of %d", b.what, done, total))
		return
	}
	b.bar.SetTotal(int64(max(total, 1)), false)
	b.bar.SetCurrent(int64(done))
}

// end leaves the bar as it stands.
func (b *partsBar) end() {
	if b.bar == nil {
		return
	}
	if !b.bar.Completed() {
		b.bar.Abort(false)
	}
	b.bars.Wait()
}
