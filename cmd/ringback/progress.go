package main

import (
	"io"
	"sync"
	"time"
)

// progress shows how something long goes on: on a terminal one line that is
// written over, else a line every few seconds.
type progress struct {
	out   io.Writer
	live  bool
	width int

	mu    sync.Mutex // guards what follows
	shown bool       // a live line stands there
	next  time.Time  // when a line may follow, off a terminal
}

// progressEvery is the pause between the lines off a terminal.
const progressEvery = 5 * time.Second

// newProgress makes one that shows nothing if the session is quiet or its data is
// JSON.
func (s *session) newProgress() *progress {
	p := &progress{out: s.talk, live: s.to.is && !s.to.dumb, width: s.to.width, next: time.Now().Add(progressEvery)}
	if s.quiet || s.json {
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
		_, _ = io.WriteString(p.out, clearLine+text)
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
		_, _ = io.WriteString(p.out, clearLine)
		p.shown = false
	}
}
