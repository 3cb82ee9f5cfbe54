package simulate

import (
	"cmp"
	"context"
	"net/http"
	"slices"
)

// Call is the present state of one call to the simulated provider.
type Call struct {
	Number int // among all calls, from 1
	Try    int // among the calls for this prompt, from 1, if the model fails a few times and then succeeds; otherwise 0
	Path   string
	Model  string
	Prompt string // the text of the last message
	Stream bool
	Header http.Header // of the request; must not be modified
	Body   []byte      // of the request; must not be modified

	Status int    // of the answer; 0: none yet
	Text   string // sent so far, of text blocks
	Words  int    // in Text
	Of     int    // words of the whole text; 0: unknown
	End    End
}

// End is how a call ended.
type End string

// The ends of a call. While it is running, it has none.
const (
	Running    End = ""
	Answered   End = "answered"    // everything was sent
	Refused    End = "refused"     // with an error status
	Broken     End = "broken"      // the provider broke off the answer, as the model's name asks
	ClientLeft End = "client left" // the client closed the connection before the end
)

// CallLog keeps the last state of a provider's calls. Pass its Observe to [ProviderConfig].
// The zero value is ready for use. It keeps everything: it is for tests and the demo.
type CallLog struct {
	journal journal[Call]
}

// Observe records a call.
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

// Wait returns the first call that matches, as soon as there is one. Intermediate states of
// a call are not kept: ask for Words >= 31, not for == 31. The error is the context's.
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
