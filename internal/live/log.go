package live

import (
	"context"
	"io"
	"slices"
	"sync"
	"unicode/utf8"
	"unsafe"

	"github.com/ringback/ringback"
)

// Log is what happened to one job, event by event, less the event that ends it. Many
// read it, each at its own pace; none of them holds up the one who writes. What a
// reader has not read yet costs nothing of its own: there is one copy of the text.
//
// It is bounded by the answer: the text of attempts that broke goes when it grows
// large, and of a very long answer several pieces become one event.
type Log struct {
	job string

	mu       sync.Mutex
	entries  []entry
	text     []byte // of all small deltas, one behind the other
	large    int    // bytes of the large ones
	held     ringback.Delta
	heldBy   int64         // the attempt of held; 0: nothing is held
	moved    chan struct{} // closed when something changes; nil: nobody waits
	waiting  []*Waiter     // woken when something changes, once
	fed      bool          // an attempt of this process writes it
	complete bool          // all is here but the end
	end      *ringback.StreamEvent
	long     bool // the end's job is without its answer
	err      error
	freed    []func() // called when the log is forgotten
	gone     bool     // it is
}

// entry is an event. Of a small delta it holds where its text ends, which begins where
// the one before ends.
type entry struct {
	id    ringback.EventID
	upTo  int
	index int32
	kind  kind
	other *ringback.StreamEvent // of all but small deltas
}

// largeDelta is from how many bytes on a delta keeps its own text: it is copied neither
// into the log nor for those who read it.
const largeDelta = 4 << 10

// kind is a DeltaKind in one byte.
type kind uint8

var kinds = []ringback.DeltaKind{"", ringback.DeltaText, ringback.DeltaThinking, ringback.DeltaToolInput}

func kindOf(k ringback.DeltaKind) kind { return kind(max(0, slices.Index(kinds, k))) }

const (
	// manyEvents is from how many on pieces are gathered, and gathered the bytes that
	// make an event then.
	manyEvents = 1 << 16
	gathered   = 4 << 10
	// mostDelta is how many bytes of text one event has at most.
	mostDelta = 64 << 10
	// tornText is how much text of attempts that broke is kept.
	tornText = 1 << 20
)

// NewLog makes an empty log: that of a job of which nothing but its acceptance is
// known.
func NewLog(job string) *Log { return &Log{job: job} }

// Last is the id of the last event; the zero EventID if there is none.
func (l *Log) Last() ringback.EventID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last()
}

func (l *Log) last() ringback.EventID {
	if len(l.entries) == 0 {
		return ringback.EventID{}
	}
	return l.entries[len(l.entries)-1].id
}

// Add writes that something happened under an attempt.
func (l *Log) Add(attempt int64, e ringback.StreamEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isVoid(attempt) {
		return
	}
	l.flush()
	if e.Type == ringback.EventStarted {
		l.forget(attempt)
	}
	e.JobID, e.EventID = l.job, l.next(attempt)
	l.add(e)
	l.wake()
}

// Delta writes a piece of the answer of an attempt. A very large one becomes several
// events: whoever reads or stores the log holds few of them at a time.
func (l *Log) Delta(attempt int64, d ringback.Delta) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isVoid(attempt) {
		return
	}
	for rest := d.Text; rest != ""; {
		d.Text, rest = cutText(rest)
		l.delta(attempt, d)
	}
}

// cutText cuts the text of an event off a longer one, between two characters.
func cutText(text string) (first, rest string) {
	if len(text) <= mostDelta {
		return text, ""
	}
	at := mostDelta
	for at > mostDelta-utf8.UTFMax && !utf8.RuneStart(text[at]) {
		at--
	}
	return text[:at], text[at:]
}

// delta writes a piece that is small enough for one event. The caller holds the lock.
func (l *Log) delta(attempt int64, d ringback.Delta) {
	if len(l.entries) < manyEvents {
		l.add(ringback.StreamEvent{Type: ringback.EventDelta, EventID: l.next(attempt), Delta: &d})
		l.wake()
		return
	}
	if l.heldBy != attempt || l.held.Kind != d.Kind || l.held.Index != d.Index {
		l.flush()
	}
	l.heldBy, l.held.Kind, l.held.Index = attempt, d.Kind, d.Index
	if l.held.Text += d.Text; len(l.held.Text) >= gathered {
		l.flush()
	}
}

// isVoid tells whether a later attempt writes the log already: this one was taken
// away while its call goes on, and what it says now would stand behind events with
// higher ids, where no reader finds its way. The caller holds the lock.
func (l *Log) isVoid(attempt int64) bool { return attempt < l.last().Attempt }

// flush makes an event of what is held. The caller holds the lock.
func (l *Log) flush() {
	if l.heldBy == 0 {
		return
	}
	held := l.held
	l.add(ringback.StreamEvent{Type: ringback.EventDelta, EventID: l.next(l.heldBy), Delta: &held})
	l.held, l.heldBy = ringback.Delta{}, 0
	l.wake()
}

// Append takes over events that somebody else numbered; those that are known are
// passed over.
func (l *Log) Append(events ...ringback.StreamEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		if e.Compare(l.last()) > 0 {
			e.JobID = l.job
			l.add(e)
		}
	}
	l.wake()
}

// Complete notes that nothing is missing but the event that ends the job.
func (l *Log) Complete() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.complete = true
}

// Completed reports whether nothing is missing but the event that ends the job.
func (l *Log) Completed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.complete
}

// End writes the event that ends the job: there is nothing behind it.
func (l *Log) End(e ringback.StreamEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.end == nil {
		l.flush()
		e.JobID = l.job
		l.end = &e
		l.wake()
	}
}

// EndLong is End with a job whose answer is too long to be kept with the log.
func (l *Log) EndLong(e ringback.StreamEvent) {
	l.mu.Lock()
	l.long = l.end == nil
	l.mu.Unlock()
	l.End(e)
}

// Long reports whether the event that ends the job lacks the job's answer.
func (l *Log) Long() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.long
}

// Size is how much memory the log takes, about.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(l.large) + int64(cap(l.text)) + int64(cap(l.entries))*int64(unsafe.Sizeof(entry{}))
}

// OnForget has free called when nobody uses the log any more.
func (l *Log) OnForget(free func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		free()
		return
	}
	l.freed = append(l.freed, free)
}

// forgotten is called once, by the hub.
func (l *Log) forgotten() {
	l.mu.Lock()
	freed := l.freed
	l.freed, l.gone = nil, true
	l.mu.Unlock()
	for _, free := range freed {
		free()
	}
}

// Fail ends the reading with an error: the job is gone, say.
func (l *Log) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
		l.wake()
	}
}

// next is the id of the event that comes next. The first number is that of
// job.queued, which stands in no log. The caller holds the lock.
func (l *Log) next(attempt int64) ringback.EventID {
	return ringback.EventID{Attempt: attempt, Number: max(l.last().Number, 1) + 1}
}

// add stores an event. The caller holds the lock.
func (l *Log) add(e ringback.StreamEvent) {
	n := entry{id: e.EventID, upTo: len(l.text)}
	switch {
	case e.Delta == nil:
		n.other = &e
	case len(e.Text) >= largeDelta:
		n.other = &e
		l.large += len(e.Text)
	default:
		l.text = append(l.text, e.Text...)
		n.upTo, n.index, n.kind = len(l.text), int32(e.Index), kindOf(e.Kind)
	}
	l.entries = append(l.entries, n)
}

// forget drops the text of all attempts but one, if it is much. The caller holds the
// lock.
func (l *Log) forget(attempt int64) {
	if len(l.text)+l.large < tornText {
		return
	}
	l.entries = slices.DeleteFunc(l.entries, func(e entry) bool { return e.isDelta() && e.id.Attempt != attempt })
	for i := range l.entries {
		l.entries[i].upTo = 0
	}
	l.text, l.large = nil, 0
}

func (e entry) isDelta() bool { return e.other == nil || e.other.Delta != nil }

// wake wakes all who wait. The caller holds the lock.
func (l *Log) wake() {
	if l.moved != nil {
		close(l.moved)
		l.moved = nil
	}
	for _, w := range l.waiting {
		go w.Wake()
	}
	clear(l.waiting)
	l.waiting = l.waiting[:0]
}

// wait gives the channel that is closed at the next change. The caller holds the lock.
func (l *Log) wait() <-chan struct{} {
	if l.moved == nil {
		l.moved = make(chan struct{})
	}
	return l.moved
}

func (l *Log) setFed(fed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	l.fed = fed
	l.wake()
}

// mostEvents is how many events one Next gives at most, mostBytes about how much text.
const (
	mostEvents = 512
	mostBytes  = 256 << 10
)

// Next waits for events behind after, and gives those that are there. Behind the one
// that ends the job, and where only is set as soon as no attempt of this process
// writes the log, it gives io.EOF.
func (l *Log) Next(ctx context.Context, after ringback.EventID, only bool) ([]ringback.StreamEvent, error) {
	for {
		if err := l.Wait(ctx, after, only); err != nil {
			return nil, err
		}
		if events, err := l.Ready(after, only); len(events) > 0 || err != nil {
			return events, err
		}
	}
}

// Wait waits until Next would not, and gives the error that Next would give.
func (l *Log) Wait(ctx context.Context, after ringback.EventID, only bool) error {
	for {
		changed, err := l.watch(after, only)
		if changed == nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// watch gives what is closed at the next change; nil where Next would not wait.
func (l *Log) watch(after ringback.EventID, only bool) (changed <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if events, err := l.behind(after, only, 1); len(events) > 0 || err != nil {
		return nil, err
	}
	return l.wait(), nil
}

// Ready is Next where there is something; nil where Next would wait.
func (l *Log) Ready(after ringback.EventID, only bool) ([]ringback.StreamEvent, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.behind(after, only, mostEvents)
}

// A Waiter is woken in a goroutine of its own.
type Waiter struct{ Wake func() }

// Await has w woken once, however often it is asked to: now, if Next would not wait, or
// at the next change, even if Next goes on to wait then.
func (l *Log) Await(after ringback.EventID, only bool, w *Waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if events, err := l.behind(after, only, 1); len(events) > 0 || err != nil {
		go w.Wake()
		return
	}
	if !slices.Contains(l.waiting, w) {
		l.waiting = append(l.waiting, w)
	}
}

// Forget takes back an Await. The waiter may be on its way.
func (l *Log) Forget(w *Waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = slices.DeleteFunc(l.waiting, func(other *Waiter) bool { return other == w })
}

// behind are the first events behind after, about as many as most; none, where Next
// would wait. The caller holds the lock.
func (l *Log) behind(after ringback.EventID, only bool, most int) (events []ringback.StreamEvent, err error) {
	from, _ := slices.BinarySearchFunc(l.entries, after, func(e entry, id ringback.EventID) int {
		if e.id.Compare(id) <= 0 {
			return -1
		}
		return 1
	})
	if l.end != nil && after == l.end.EventID {
		return nil, io.EOF
	}
	for i, bytes := from, 0; i < len(l.entries) && len(events) < most && bytes < mostBytes; i++ {
		e := l.event(i)
		if e.Delta != nil {
			bytes += len(e.Text)
		}
		events = append(events, e)
	}
	switch {
	case from+len(events) < len(l.entries):
	case l.end != nil:
		events = append(events, *l.end)
	case len(events) > 0:
	case l.err != nil:
		return nil, l.err
	case only && !l.fed:
		return nil, io.EOF
	}
	return events, nil
}

// event is what the entry i says. The caller holds the lock.
func (l *Log) event(i int) ringback.StreamEvent {
	e := l.entries[i]
	if e.other != nil {
		return *e.other
	}
	begin := 0
	if i > 0 {
		begin = l.entries[i-1].upTo
	}
	return ringback.StreamEvent{
		Type: ringback.EventDelta, JobID: l.job, EventID: e.id,
		Delta: &ringback.Delta{Kind: kinds[e.kind], Index: int(e.index), Text: string(l.text[begin:e.upTo])},
	}
}
