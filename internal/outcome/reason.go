package outcome

import (
	"fmt"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/store"
)

// reason is why a job ended without an answer.
type reason struct {
	sentence   string
	code       ringback.ErrorDetailCode // "" if no error ended it
	kind       string
	statusCode int
}

// byCaller ends a cancelled job.
var byCaller = reason{sentence: "the job was cancelled"}

// Unreadable returns the sentence with which a job ends whose row can't be read.
func Unreadable(row store.Job) string {
	return "the stored job can't be read: " + row.Unreadable + "; submit it anew"
}

// unreadable ends such a job, so that nothing comes across it again.
func unreadable(row store.Job) reason {
	return reason{code: ringback.CodeInternal, sentence: Unreadable(row)}
}

func saidBy(f *provider.Error) reason {
	return reason{sentence: f.Message, code: f.Code, kind: f.Type, statusCode: f.StatusCode}
}

// maxWait ends a job that was refused for too long; f is the last refusal, if it is known.
func maxWait(row store.Job, f *provider.Error) reason {
	r := reason{code: ringback.CodeMaxWait, sentence: fmt.Sprintf("the provider refused for %s, as long as max_wait_seconds allows", row.Options.MaxWait)}
	if f != nil {
		r.kind, r.statusCode = f.Type, f.StatusCode
		r.sentence += "; the last time: " + f.Message
	}
	return r
}

// atFault ends a job that was refused while others were answered.
func (p *Policy) atFault(f *provider.Error) reason {
	r := saidBy(f)
	r.code = ringback.CodeProviderRejected
	r.sentence = fmt.Sprintf("the provider refused this request %d times while it answered others with the same key; its last error: %s", p.FaultAfter, f.Message)
	return r
}
