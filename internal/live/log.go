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

// Log has the events of one job, and apart from them the event that ends it. It has many
// readers, each at its own pace, and none of them delays the writer. Events that a reader
// has not read yet take no memory of their own: there is one copy of the text.
//
// Its size is bounded by the answer: the text of broken attempts is dropped when it grows
// large, and pieces of a very long answer are gathered into larger events.
type Log struct {
	job string

	mu       sync.Mutex
	entries  []entry
	text     []byte // of all small deltas, one after the other
	large    int    // bytes of the large deltas
	frames   frames
	held     ringback.Delta
	heldBy   int64         // the attempt of held; 0: nothing is held
	moved    chan struct{} // closed at the next change; nil: nobody waits
	waiting  []*Waiter     // woken at the next change, once
	written  bool          // an attempt of this process writes it
	complete bool          // nothing is missing but the end
	end      *ringback.StreamEvent
	long     bool // the job of end lacks its answer
	err      error
	freed    []func() // called when the log is dropped
	gone     bool     // it was dropped
}

// entry is an event. The text of a small delta is in the log's text: it ends at upTo, and
// begins where the previous one ends.
type entry struct {
	id    ringback.EventID
	upTo  int
	index int32
	kind  kind
	other *ringback.StreamEvent // of all but small deltas
}

// largeDelta is the size in bytes from which a delta keeps its own text: it is copied
// neither into the log nor for its readers.
const largeDelta = 4 << 10

// kind is a DeltaKind in one byte.
type kind uint8

var kinds = []ringback.DeltaKind{"", ringback.DeltaText, ringback.DeltaThinking, ringback.DeltaToolInput}

func kindOf(k ringback.DeltaKind) kind { return kind(max(0, slices.Index(kinds, k))) }

const (
	// manyEvents is the number of events from which pieces are gathered, and gathered the
	// number of bytes that make an event then.
	manyEvents = 1 << 16
	gathered   = 4 << 10
	// mostDelta bounds the text of one event, in bytes.
	mostDelta = 64 << 10
	// tornText bounds the text of broken attempts that is kept, in bytes.
	tornText = 1 << 20
)

// NewLog returns an empty log: that of a job that has not done anything since it was
// accepted.
func NewLog(job string) *Log { return &Log{job: job} }

// Last returns the id of the last event; the zero EventID if there is none.
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

// Add writes an event of an attempt.
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

// Delta writes a piece of an attempt's answer. A very large one becomes several events, so
// that readers and the store hold few bytes at a time.
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

// cutText cuts the text of one event off a longer text, between two characters.
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

// delta writes a piece that fits into one event. The caller holds the lock.
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

// isVoid reports whether a later attempt writes the log already. Then the job was taken
// from this attempt while its call goes on, and its events would come after events with
// higher ids, where readers would not find them. The caller holds the lock.
func (l *Log) isVoid(attempt int64) bool { return attempt < l.last().Attempt }

// flush makes an event of the gathered pieces. The caller holds the lock.
func (l *Log) flush() {
	if l.heldBy == 0 {
		return
	}
	held := l.held
	l.add(ringback.StreamEvent{Type: ringback.EventDelta, EventID: l.next(l.heldBy), Delta: &held})
	l.held, l.heldBy = ringback.Delta{}, 0
	l.wake()
}

// Append adds events that were numbered elsewhere. It skips those that the log has.
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

// End writes the event that ends the job. Nothing follows it.
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

// EndLong is End for a job whose answer is too long to be kept in the log.
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

// Size returns about how much memory the log takes, in bytes.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(l.large) + int64(cap(l.text)) + int64(cap(l.entries))*int64(unsafe.Sizeof(entry{})) + l.frames.size()
}

// OnForget has free called when the log has no users left.
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

// Fail ends the reading with an error, for example because the job is gone.
func (l *Log) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
		l.wake()
	}
}

// next returns the id of the next event. Number 1 is that of job.queued, which is in no
// log. The caller holds the lock.
func (l *Log) next(attempt int64) ringback.EventID {
	return ringback.EventID{Attempt: attempt, Number: max(l.last().Number, 1) + 1}
}

// add stores an event. The caller holds the lock.
func (l *Log) add(e ringback.StreamEvent) {
	n := entry{id: e.EventID, upTo: len(l.text)}
	switch {
	case e.Delta == nil:
		n.other = &e
		if e.Type == ringback.EventStarted {
			l.frames = frames{} // of an attempt that is void
		}
	case len(e.Text) >= largeDelta:
		n.other = &e
		l.large += len(e.Text)
	default:
		l.text = append(l.text, e.Text...)
		n.upTo, n.index, n.kind = len(l.text), int32(e.Index), kindOf(e.Kind)
	}
	l.entries = append(l.entries, n)
}

// forget drops the text of all attempts but one if the log's text is large. The caller
// holds the lock.
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

// wake wakes everything that waits. The caller holds the lock.
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

// wait returns the channel that is closed at the next change. The caller holds the lock.
func (l *Log) wait() <-chan struct{} {
	if l.moved == nil {
		l.moved = make(chan struct{})
	}
	return l.moved
}

func (l *Log) setWritten(written bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	l.written = written
	l.wake()
}

// mostEvents bounds the events that one Next returns, mostBytes their text, about.
const (
	mostEvents = 512
	mostBytes  = 256 << 10
)

// Next waits for events after the given one and returns those that are there. It returns
// io.EOF after the event that ends the job and, if local is set, as soon as no attempt of
// this process writes the log.
func (l *Log) Next(ctx context.Context, after ringback.EventID, local bool) ([]ringback.StreamEvent, error) {
	for {
		if err := l.Wait(ctx, after, local); err != nil {
			return nil, err
		}
		if events, err := l.Ready(after, local); len(events) > 0 || err != nil {
			return events, err
		}
	}
}

// Wait waits until Next would return, and returns the error that Next would return.
func (l *Log) Wait(ctx context.Context, after ringback.EventID, local bool) error {
	for {
		changed, err := l.watch(after, local)
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

// watch returns a channel that is closed at the next change; nil if Next would not wait.
func (l *Log) watch(after ringback.EventID, local bool) (changed <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if events, err := l.behind(after, local, 1); len(events) > 0 || err != nil {
		return nil, err
	}
	return l.wait(), nil
}

// Ready returns what Next would return; nil if Next would wait.
func (l *Log) Ready(after ringback.EventID, local bool) ([]ringback.StreamEvent, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.behind(after, local, mostEvents)
}

// A Waiter is woken in a goroutine of its own.
type Waiter struct{ Wake func() }

// Await has w woken once, however often it is called: now if Next would not wait, otherwise
// at the next change, even if Next would still wait then.
func (l *Log) Await(after ringback.EventID, local bool, w *Waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if events, err := l.behind(after, local, 1); len(events) > 0 || err != nil {
		go w.Wake()
		return
	}
	if !slices.Contains(l.waiting, w) {
		l.waiting = append(l.waiting, w)
	}
}

// Forget cancels an Await. The waiter may already have been woken.
func (l *Log) Forget(w *Waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = slices.DeleteFunc(l.waiting, func(other *Waiter) bool { return other == w })
}

// behind returns the first events after the given one, at most about as many as most; none
// if Next would wait. The caller holds the lock.
func (l *Log) behind(after ringback.EventID, local bool, most int) (events []ringback.StreamEvent, err error) {
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
	case local && !l.written:
		return nil, io.EOF
	}
	return events, nil
}

// event returns the event of entry i. The caller holds the lock.
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
