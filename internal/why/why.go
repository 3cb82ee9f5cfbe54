// Package why explains in plain sentences why a job or its webhook is where it is, and what to
// do about it. It is pure: it turns values of the API and a time into text, so that every
// surface can show the same sentences.
//
//	why.go       Explain: everything about one job, and the remedies
//	job.go       jobs: why one waits, runs or ended without an answer; short forms for lists
//	webhook.go   webhooks: why one has not arrived; short forms for lists
//	timeline.go  what happened to a job, in order
package why

import (
	"fmt"
	"time"

	"github.com/ringback/ringback"
)

// History is everything that the server knows about a job.
type History struct {
	Job        ringback.Job        `json:"job"`
	Attempts   []ringback.Attempt  `json:"attempts"`
	Deliveries []ringback.Delivery `json:"deliveries"`
}

// Names are the names that remedies need and values of the API do not have.
type Names struct {
	// CommandLine formats a command of the program for pasting, such as "jobs show JOB".
	CommandLine func(format string, args ...any) string
	// KeyVariable returns the environment variable that has the key of a provider. It
	// returns "" if only the server's configuration file says so.
	KeyVariable func(provider string) string
}

// keyVariable returns a provider's variable, or how to find out which one it is.
func (n Names) keyVariable(provider string) string {
	if variable := n.KeyVariable(provider); variable != "" {
		return variable
	}
	return "the variable that api_key_env of providers." + provider + " names"
}

// Explanation says why a job has not arrived, and what to do about it.
type Explanation struct {
	Sentences []string
	Remedies  []Remedy
}

// Remedy is something to do: its purpose, and the command if there is one.
type Remedy struct{ What, Command string }

func (e *Explanation) sayf(format string, args ...any) {
	e.Sentences = append(e.Sentences, fmt.Sprintf(format, args...))
}

func (e *Explanation) do(what, command string) {
	e.Remedies = append(e.Remedies, Remedy{what, command})
}

// Explain explains a job by its history.
func Explain(h History, now time.Time, names Names) Explanation {
	var e Explanation
	switch h.Job.Status {
	case ringback.Queued:
		e.waiting(h, now, names)
	case ringback.Running:
		e.running(h, now, names)
	case ringback.Completed:
		e.sayf("It has an answer.")
	default:
		e.unanswered(h.Job, names)
	}
	if h.Job.Status.Terminal() {
		e.webhooks(h, now, names)
	}
	return e
}
