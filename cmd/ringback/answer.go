package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/terminal"
)

// Rules of an answer that is shown as it grows:
//
//   - stdout gets its text and nothing else, each piece as it comes. What has been
//     written cannot be taken back: when an attempt breaks off after the first word of
//     its text, a line end and the text of the next attempt follow, and stderr says
//     where. Off a terminal the exit code says, too, that stdout has more than the answer.
//   - stderr gets a line for each turn of the job, and the line that changes from second
//     to second, where it does not get mixed with the text.
//   - With --json stdout gets each event instead, one a line, and the reader decides.

// showing says how an answer is to be shown.
type showing struct {
	limit    time.Duration // for which to wait; 0: for as long as it takes
	events   bool          // on stdout, instead of the text
	thinking bool          // on stderr
	leaving  string        // what becomes of the job when we leave
}

// What becomes of a job when we leave, as far as we know.
const (
	goesOn      = "goes on"
	mayGoOn     = "goes on, unless its on_disconnect is cancel"
	isCancelled = "is cancelled in some seconds, unless somebody watches it, since its on_disconnect is cancel"
)

// answer is one that is being shown.
type answer struct {
	*session
	showing

	id      string
	live    *terminal.Progress
	begin   time.Time
	stood   string // what was said last of how the job stands
	missed  int    // connections that were lost since the last event
	runs    bool
	attempt int64
	model   string
	bytes   int // of what came of this attempt, of all kinds

	shown     strings.Builder // the text of this attempt that stands on stdout
	torn      bool            // there, too, stands that of an attempt before
	column    int             // of a terminal's line in which the next character goes
	openText  bool            // the last line on stdout has no end yet
	openThink bool            // nor that of the thoughts
}

// showAnswer shows the answer of a job as it grows, up to the job's end. A job that
// ends without one is a failure.
func (s *session) showAnswer(ctx context.Context, id string, how showing) error {
	waiting, cancel := ctx, context.CancelFunc(func() {})
	if how.limit > 0 {
		waiting, cancel = context.WithTimeoutCause(ctx, how.limit, errWaitedLongEnough)
	}
	defer cancel()
	a := &answer{session: s, showing: how, id: id, live: s.NewProgress(), begin: time.Now()}
	job, err := a.follow(waiting)
	a.live.Clear()
	if err == nil {
		return a.end(*job)
	}
	_ = a.endLines() // err is what counts
	return s.waitFailed(ctx, id, how, err)
}

// heard is an event of a stream, what interrupted it, or the error that ended it.
type heard struct {
	event       ringback.StreamEvent
	interrupted bool
	err         error
}

// follow shows what happens until the job has ended.
func (a *answer) follow(ctx context.Context) (*ringback.Job, error) {
	ctx, cancel := context.WithCancel(ctx)
	happenings, done := make(chan heard), make(chan struct{})
	go func() {
		defer close(done)
		a.read(ctx, happenings)
	}()
	defer func() { cancel(); <-done }()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
			a.look(ctx)
		case h := <-happenings:
			if err := a.take(ctx, h); err != nil || h.event.Job != nil {
				return h.event.Job, err
			}
		}
	}
}

// read passes on what happens to the job.
func (a *answer) read(ctx context.Context, to chan<- heard) {
	pass := func(h heard) bool {
		select {
		case to <- h:
			return true
		case <-ctx.Done():
			return false
		}
	}
	interrupted := client.Interrupted(func(err error) { pass(heard{interrupted: true, err: err}) })
	for event, err := range a.Stream(ctx, a.id, client.GiveUpAfter(0), interrupted) {
		if !pass(heard{event: event, err: err}) || event.Job != nil {
			return
		}
	}
	pass(heard{err: errors.New("the stream ended before the job did")})
}

func (a *answer) take(ctx context.Context, h heard) error {
	switch {
	case h.interrupted:
		if a.missed++; a.missed == 2 { // one that is made good at once is not worth a word
			a.live.Clear()
			a.Sayf("%v\nretrying", a.explain(ctx, h.err))
		}
		return nil
	case h.err != nil:
		return h.err
	}
	a.missed = 0
	if a.events {
		return a.PrintJSON(h.event)
	}
	return a.show(h.event)
}

// show shows an event.
func (a *answer) show(e ringback.StreamEvent) error {
	if e.Job == nil && e.Attempt > a.attempt {
		if err := a.beginAnew(e); err != nil {
			return err
		}
	}
	switch {
	case e.Type == ringback.EventStarted:
		a.runs, a.model = true, e.Model
		a.turn(a.standing())
	case e.Delta != nil:
		a.runs = true
		a.bytes += len(e.Text)
		return a.piece(*e.Delta)
	}
	return nil
}

// beginAnew leaves the attempt before behind.
func (a *answer) beginAnew(e ringback.StreamEvent) error {
	first := a.attempt == 0
	a.attempt, a.bytes, a.runs = e.Attempt, 0, false
	if a.shown.Len() > 0 {
		a.live.Clear()
		if err := a.endLines(); err != nil {
			return err
		}
		a.shown.Reset()
		a.torn = true
		// Also with --quiet: without it one would take the text for the answer.
		fmt.Fprintf(a.Talk, "the text above is void: the attempt broke off; attempt %d starts the answer over\n", e.Attempt)
	} else if !first && e.Type == ringback.EventRetrying {
		a.turn(fmt.Sprintf("the attempt broke off; attempt %d comes next", e.Attempt))
	}
	return nil
}

// piece shows a piece of the answer.
func (a *answer) piece(d ringback.Delta) error {
	switch {
	case d.Kind == ringback.DeltaText:
		a.live.Clear()
		if a.openThink {
			fmt.Fprintln(a.Talk)
			a.openThink = false
		}
		if err := a.text(d.Text); err != nil {
			return err
		}
		a.live.Share(a.OutTo, a.Out)
	case d.Kind == ringback.DeltaThinking && a.thinking && !a.Quiet:
		a.live.Clear()
		fmt.Fprint(a.Talk, terminal.Painter(a.TalkTo.Color).Dim(a.tame(d.Text, a.TalkTo)))
		a.openThink = !strings.HasSuffix(d.Text, "\n")
		return nil // the line would stand in the midst of them
	}
	if a.live.Live {
		a.showLine(time.Now())
	}
	return nil
}

// showLine shows the line that changes from second to second, where there is room: not
// in the midst of thoughts, nor where the next character goes into a new row, which
// terminals forget when the cursor comes back.
func (a *answer) showLine(now time.Time) {
	atMargin := a.OutTo.Width > 0 && a.column > 0 && a.column%a.OutTo.Width == 0
	if !a.openThink && !atMargin {
		a.live.Show(a.line(now))
	}
}

func (a *answer) text(s string) error {
	a.shown.WriteString(s)
	a.openText = !strings.HasSuffix(s, "\n")
	tamed := a.tame(s, a.OutTo)
	a.advance(tamed)
	return a.Print(tamed)
}

// advance keeps count of where a text leaves the cursor.
func (a *answer) advance(s string) {
	const tab = 8
	for _, r := range s {
		switch r {
		case '\n':
			a.column = 0
		case '\t':
			a.column += tab - a.column%tab
		default:
			a.column += runewidth.RuneWidth(r)
		}
	}
}

// tame is what a model wrote so that it cannot steer a terminal.
func (a *answer) tame(s string, to terminal.Terminal) string {
	if to.Is {
		return terminal.Printable(s)
	}
	return s
}

// endLines ends the lines that have no end yet.
func (a *answer) endLines() error {
	if a.openThink {
		fmt.Fprintln(a.Talk)
	}
	open := a.openText
	a.openThink, a.openText, a.column = false, false, 0
	if open {
		return a.Print("\n")
	}
	return nil
}

// look looks how the job stands.
func (a *answer) look(ctx context.Context) {
	now := time.Now()
	if !a.runs {
		short, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		job, err := a.Get(short, a.id)
		if err != nil || job.Status.Terminal() {
			return // the stream will tell
		}
		if job.Status == ringback.Queued {
			a.turn(standingOf(job, now), string(job.Status), job.StatusReason, fmt.Sprint(job.Attempts))
		}
		a.live.Show(fmt.Sprintf("job %s %s · %s", a.id, standingOf(job, now), terminal.Span(now.Sub(a.begin))))
		return
	}
	a.showLine(now)
}

// turn says that the job stands otherwise than before; by is what makes the
// difference, where the text changes by itself.
func (a *answer) turn(text string, by ...string) {
	key := strings.Join(by, "\n")
	if key == "" {
		key = text
	}
	if a.stood == key || a.events {
		return
	}
	a.stood = key
	a.live.Clear()
	a.Sayf("%s  %s", terminal.Painter(a.TalkTo.Color).Dim(time.Now().Format(time.TimeOnly)), terminal.OneLine(text))
}

func (a *answer) standing() string {
	return fmt.Sprintf("running · attempt %d · %s", a.attempt, a.model)
}

// bytesPerToken is what a token takes, more or less, in most languages.
const bytesPerToken = 4

// line is the line that changes from second to second.
func (a *answer) line(now time.Time) string {
	return fmt.Sprintf("about %d tokens · %s · %s", (a.bytes+bytesPerToken-1)/bytesPerToken, terminal.Span(now.Sub(a.begin)), a.standing())
}

// end shows how the job ended.
func (a *answer) end(job ringback.Job) error {
	if !a.events {
		if err := a.complete(job); err != nil {
			return err
		}
	}
	if job.Status != ringback.Completed {
		return a.unanswered(job)
	}
	what := endWords(job)
	a.turn(fmt.Sprintf("completed · %s · %s", what, terminal.Span(job.EndedAt.Sub(job.CreatedAt.Time))))
	if a.torn && !a.OutTo.Is {
		return exit.Errorf(exit.Torn, "stdout has text of an attempt that broke off before the answer. To print only the answer: %s", a.ours("jobs show --result %s", a.id))
	}
	return nil
}

// complete prints what is missing of the result: all of it, of a job without stream.
func (a *answer) complete(job ringback.Job) error {
	if job.Result != nil {
		rest, ok := strings.CutPrefix(*job.Result, a.shown.String())
		if !ok {
			if err := a.endLines(); err != nil {
				return err
			}
			fmt.Fprintln(a.Talk, "the text above is void: this is not the stored answer")
			rest, a.torn = *job.Result, true
		}
		if rest != "" || *job.Result == "" {
			if err := a.text(rest); err != nil {
				return err
			}
		}
	}
	return a.endLines()
}
