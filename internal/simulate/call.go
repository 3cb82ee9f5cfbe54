package simulate

import (
	"cmp"
	"context"
	"net/http"
	"slices"
)

// Call is one call of the simulated provider, as far as it has come.
type Call struct {
	Number int // of all calls, from 1
	Try    int // of the calls for this prompt, from 1, where the model goes wrong a few times and then well; else 0
	Path   string
	Model  string
	Prompt string // the text of the last message
	Stream bool
	Header http.Header // of the request; not to be changed
	Body   []byte      // of the request; not to be changed

	Status int    // that was answered; 0: none yet
	Text   string // sent so far, of text blocks
	Words  int    // in Text
	Of     int    // words of the whole text; 0: not known
	End    End
}

// End is how a call ended.
type End string

// The ends of a call. While it runs, it has none.
const (
	Running    End = ""
	Answered   End = "answered"    // all was sent
	Refused    End = "refused"     // with an error status
	Broken     End = "broken"      // the provider broke the answer, as the model wants it
	ClientLeft End = "client left" // the connection was closed while there was more to come
)

// CallLog keeps the calls of a provider, each as it was last seen. Give its
// Observe to [ProviderConfig]. The zero value is ready. It keeps everything: it
// is meant for tests and the demo.
type CallLog struct {
	journal journal[Call]
}

// Observe notes a call.
func (l *CallLog) Observe(c Call) {
	l.journal.write(func(calls []Call) []Call {
		i, found := slices.BinarySearchFunc(calls, c.Number, byNumber)
		if found {
			calls[i] = c
			return calls
		}
		return slices.Insert(calls, i, c)
	})
}

// Calls returns all calls, by number.
func (l *CallLog) Calls() []Call { return l.journal.read() }

// Of returns the calls for a prompt, by number.
func (l *CallLog) Of(prompt string) []Call {
	return slices.DeleteFunc(l.Calls(), func(c Call) bool { return c.Prompt != prompt })
}

// Wait returns the first call that matches, as soon as there is one. What a
// call was in between is not kept: ask for Words >= 31, not for == 31. The error
// is the context's.
func (l *CallLog) Wait(ctx context.Context, match func(Call) bool) (Call, error) {
	var found Call
	err := l.journal.wait(ctx, func(calls []Call) bool {
		i := slices.IndexFunc(calls, match)
		if i >= 0 {
			found = calls[i]
		}
		return i >= 0
	})
	return found, err
}

func byNumber(c Call, number int) int { return cmp.Compare(c.Number, number) }
