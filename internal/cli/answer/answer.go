// Package answer shows the answer of one job.
//
//	answer.go  Show: the answer as it grows
//	wait.go    Await: the answer when the job has ended; Print: that of a job that has
package answer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/cli/remote"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
	"github.com/ringback/ringback/internal/terminal"
	"github.com/ringback/ringback/internal/why"
)

// Rules of an answer that is shown as it grows:
//
//   - stdout gets its text and nothing else, each piece as it arrives. Text that was printed
//     cannot be taken back. If an attempt breaks off after the first word, a newline and the
//     text of the next attempt follow, and stderr says where. If stdout is not a terminal,
//     the exit code also says that stdout has more than the answer.
//   - stderr gets a line whenever the job's status changes, and a live line where it cannot
//     mix with the text.
//   - With --json, stdout gets each event instead, one per line, and the reader decides.

// Options say how to show an answer.
type Options struct {
	Limit    time.Duration // how long to wait; 0: as long as it takes
	Events   bool          // on stdout, instead of the text
	Thinking bool          // on stderr
	Leaving  string        // what happens to the job when the command stops waiting for it
}

// What becomes of a job when the command stops waiting for it.
const (
	GoesOn      = "goes on"
	MayGoOn     = "goes on, unless its on_disconnect is cancel"
	IsCancelled = "is cancelled in some seconds, unless somebody watches it, since its on_disconnect is cancel"
)

// display is an answer that is being shown.
type display struct {
	*remote.Session
	Options

	id      string
	live    *terminal.Progress
	begin   time.Time
	stood   string // the status that was printed last
	missed  int    // connections that were lost since the last event
	runs    bool
	attempt int64
	model   string
	bytes   int // received of this attempt, of all kinds

	shown     strings.Builder // the text of this attempt on stdout
	torn      bool            // stdout also has text of an earlier attempt
	column    int             // of a terminal's line, for the next character
	openText  bool            // the last line on stdout has no newline yet
	openThink bool            // nor has that of the thinking on stderr
}

// Show shows the answer of a job as it grows, until the job ends. It returns an error
// if the job ends without an answer.
func Show(ctx context.Context, s *remote.Session, id string, how Options) error {
	waiting, cancel := ctx, context.CancelFunc(func() {})
	if how.Limit > 0 {
		waiting, cancel = context.WithTimeoutCause(ctx, how.Limit, errWaitedLongEnough)
	}
	defer cancel()
	a := &display{Session: s, Options: how, id: id, live: s.NewProgress(), begin: time.Now()}
	job, err := a.follow(waiting)
	a.live.Clear()
	if err == nil {
		return a.end(*job)
	}
	_ = a.endLines() // err is what counts
	return waitFailed(ctx, s, id, how, err)
}

// lookEvery is the time between two looks at the job's status.
const lookEvery = 500 * time.Millisecond

// heard is an event of a stream, what interrupted it, or the error that ended it.
type heard struct {
	event       ringback.StreamEvent
	interrupted bool
	err         error
}

// follow shows events until the job has ended.
func (a *display) follow(ctx context.Context) (*ringback.Job, error) {
	ctx, cancel := context.WithCancel(ctx)
	happenings, done := make(chan heard), make(chan struct{})
	go func() {
		defer close(done)
		a.read(ctx, happenings)
	}()
	defer func() { cancel(); <-done }()
	tick := time.NewTicker(lookEvery)
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

// read passes on the job's events.
func (a *display) read(ctx context.Context, to chan<- heard) {
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

func (a *display) take(ctx context.Context, h heard) error {
	switch {
	case h.interrupted:
		if a.missed++; a.missed == 2 { // one that is repaired at once is not worth mentioning
			a.live.Clear()
			a.Sayf("%v\nretrying", a.Explain(ctx, h.err))
		}
		return nil
	case h.err != nil:
		return h.err
	}
	a.missed = 0
	if a.Events {
		return a.PrintJSON(h.event)
	}
	return a.show(h.event)
}

// show shows an event.
func (a *display) show(e ringback.StreamEvent) error {
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

// beginAnew begins the answer of a new attempt.
func (a *display) beginAnew(e ringback.StreamEvent) error {
	first := a.attempt == 0
	a.attempt, a.bytes, a.runs = e.Attempt, 0, false
	if a.shown.Len() > 0 {
		a.live.Clear()
		if err := a.endLines(); err != nil {
			return err
		}
		a.shown.Reset()
		a.torn = true
		// Even with --quiet: otherwise the text would be taken for the answer.
		fmt.Fprintf(a.Talk, "the text above is void: the attempt broke off; attempt %d starts the answer over\n", e.Attempt)
	} else if !first && e.Type == ringback.EventRetrying {
		a.turn(fmt.Sprintf("the attempt broke off; attempt %d comes next", e.Attempt))
	}
	return nil
}

// piece shows a piece of the answer.
func (a *display) piece(d ringback.Delta) error {
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
	case d.Kind == ringback.DeltaThinking && a.Thinking && !a.Quiet:
		a.live.Clear()
		fmt.Fprint(a.Talk, terminal.Painter(a.TalkTo.Color).Dim(a.tame(d.Text, a.TalkTo)))
		a.openThink = !strings.HasSuffix(d.Text, "\n")
		return nil // the live line would be in the middle of it
	}
	if a.live.Live {
		a.showLine(time.Now())
	}
	return nil
}

// showLine shows the live line where there is room: not in the middle of thoughts, and not
// where the next character begins a new row, which terminals forget when the cursor is
// restored.
func (a *display) showLine(now time.Time) {
	atMargin := a.OutTo.Width > 0 && a.column > 0 && a.column%a.OutTo.Width == 0
	if !a.openThink && !atMargin {
		a.live.Show(a.line(now))
	}
}

func (a *display) text(s string) error {
	a.shown.WriteString(s)
	a.openText = !strings.HasSuffix(s, "\n")
	tamed := a.tame(s, a.OutTo)
	a.advance(tamed)
	return a.Print(tamed)
}

// advance keeps track of the column in which a text leaves the cursor.
func (a *display) advance(s string) {
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

// tame returns text of a model that is safe to print on to.
func (a *display) tame(s string, to terminal.Terminal) string {
	if to.Is {
		return plain.Printable(s)
	}
	return s
}

// endLines ends lines that are still open.
func (a *display) endLines() error {
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

// look shows the job's status.
func (a *display) look(ctx context.Context) {
	now := time.Now()
	if !a.runs {
		short, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		job, err := a.Get(short, a.id)
		if err != nil || job.Status.Terminal() {
			return // the stream will show it
		}
		if job.Status == ringback.Queued {
			a.turn(why.Status(job, now), string(job.Status), job.StatusReason, fmt.Sprint(job.Attempts))
		}
		a.live.Show(fmt.Sprintf("job %s %s · %s", a.id, why.Status(job, now), plain.Span(now.Sub(a.begin))))
		return
	}
	a.showLine(now)
}

// turn prints a new status of the job. by identifies the status where text also changes
// without a new one.
func (a *display) turn(text string, by ...string) {
	key := strings.Join(by, "\n")
	if key == "" {
		key = text
	}
	if a.stood == key || a.Events {
		return
	}
	a.stood = key
	a.live.Clear()
	a.Sayf("%s  %s", terminal.Painter(a.TalkTo.Color).Dim(time.Now().Format(time.TimeOnly)), plain.OneLine(text))
}

func (a *display) standing() string {
	return fmt.Sprintf("running · attempt %d · %s", a.attempt, a.model)
}

// bytesPerToken is roughly the size of a token in most languages.
const bytesPerToken = 4

// line returns the live line.
func (a *display) line(now time.Time) string {
	return fmt.Sprintf("about %d tokens · %s · %s", (a.bytes+bytesPerToken-1)/bytesPerToken, plain.Span(now.Sub(a.begin)), a.standing())
}

// end shows how the job ended.
func (a *display) end(job ringback.Job) error {
	if !a.Events {
		if err := a.complete(job); err != nil {
			return err
		}
	}
	if job.Status != ringback.Completed {
		return unanswered(a.Session, job)
	}
	what := why.End(job)
	a.turn(fmt.Sprintf("completed · %s · %s", what, plain.Span(job.EndedAt.Sub(job.CreatedAt.Time))))
	if a.torn && !a.OutTo.Is {
		return exit.Errorf(exit.Torn, "stdout has text of an attempt that broke off before the answer. To print only the answer: %s", a.CommandLine("jobs show --result %s", a.id))
	}
	return nil
}

// complete prints the rest of the result: all of it if the job had no stream.
func (a *display) complete(job ringback.Job) error {
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
