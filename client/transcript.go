package client

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/ringback/ringback"
)

// Transcript assembles an answer from the events of its job. When an attempt breaks off,
// its output is void: the transcript drops it. The zero Transcript is ready for use, by one
// goroutine.
type Transcript struct {
	attempt int64
	blocks  map[block]*strings.Builder
	job     *ringback.Job
}

// block is a part of an answer.
type block struct {
	kind  ringback.DeltaKind
	index int
}

// Add adds an event, in the order of the stream. It reports whether the event voids what
// the transcript had: a new attempt begins the answer anew.
func (t *Transcript) Add(e ringback.StreamEvent) (void bool) {
	if e.Job != nil {
		t.job = e.Job
		return false // it ends what the last attempt has said
	}
	if e.Attempt > t.attempt {
		void = len(t.blocks) > 0
		t.attempt, t.blocks = e.Attempt, nil
	}
	if e.Delta == nil || e.Attempt < t.attempt {
		return void
	}
	at := block{e.Kind, e.Index}
	if t.blocks == nil {
		t.blocks = map[block]*strings.Builder{}
	}
	if t.blocks[at] == nil {
		t.blocks[at] = &strings.Builder{}
	}
	t.blocks[at].WriteString(e.Text)
	return void
}

// Text returns the text of the answer so far. Once a job with Request.Stream is completed,
// that is its Result.
func (t *Transcript) Text() string { return t.joined(ringback.DeltaText) }

// Thinking returns the model's thinking so far.
func (t *Transcript) Thinking() string { return t.joined(ringback.DeltaThinking) }

// ToolInput returns the input of the tool call with that index so far: JSON, once it is
// complete.
func (t *Transcript) ToolInput(index int) string {
	if b := t.blocks[block{ringback.DeltaToolInput, index}]; b != nil {
		return b.String()
	}
	return ""
}

// Attempt returns the number of the attempt that the answer is from; 0 before the first.
func (t *Transcript) Attempt() int64 { return t.attempt }

// Job returns the job as it ended; nil before its end.
func (t *Transcript) Job() *ringback.Job { return t.job }

func (t *Transcript) joined(kind ringback.DeltaKind) string {
	var text strings.Builder
	order := slices.SortedFunc(maps.Keys(t.blocks), func(a, b block) int { return cmp.Compare(a.index, b.index) })
	for _, at := range order {
		if at.kind == kind {
			text.WriteString(t.blocks[at].String())
		}
	}
	return text.String()
}
