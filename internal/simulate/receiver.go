package simulate

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// ReceiverConfig configures a simulated receiver. The zero value answers 200 and verifies
// nothing.
type ReceiverConfig struct {
	// Secret is the signing secret; "" means that signatures are not checked.
	Secret string

	// Respond is the script of status codes for each webhook-id: the first try gets the
	// first, and so on; once it is used up, the last. Empty means 200.
	Respond []int

	// Answer, if set, decides for each delivery, instead of Respond. It may be called
	// concurrently.
	Answer func(Delivery) Answer

	// Observe is called with each delivery before it is answered, possibly concurrently.
	// nil: nobody observes.
	Observe func(Delivery)

	// Forget drops bodies and headers once they have been checked: for benchmarks.
	Forget bool
}

// Receiver is the simulated receiver. Make one with [NewReceiver].
type Receiver struct {
	config   ReceiverConfig
	verifier *verifier // nil: no secret
	journal  journal[Delivery]

	mu         sync.Mutex // guards what follows
	count      int
	ids        map[string]*known
	ends       map[string]string // job_id → webhook-id of its end
	violations []string
}

// known is what is kept of an id.
type known struct {
	tries  int
	bodies map[form][sha256.Size]byte // the first of each form
}

// form is how much of an answer a body carries. One id may arrive in several forms.
type form struct{ result, response, partial bool }

func formOf(body []byte) form {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(body, &members) // an invalid body has no form
	has := func(name string) bool { return members[name] != nil }
	return form{has("result"), has("response"), has("partial_result")}
}

// NewReceiver makes a receiver for any path. It returns an error if the secret does not
// decode.
func NewReceiver(c ReceiverConfig) (*Receiver, error) {
	r := &Receiver{config: c, ids: map[string]*known{}, ends: map[string]string{}}
	if c.Secret != "" {
		v, err := newVerifier(c.Secret)
		if err != nil {
			return nil, err
		}
		r.verifier = v
	}
	return r, nil
}

// ServeHTTP receives one delivery.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := readBody(w, req)
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		panic(http.ErrAbortHandler) // cut off: nothing was delivered, so no answer may say so
	}
	d := r.take(req, body)
	switch {
	case r.config.Answer != nil:
		d.Answer = r.config.Answer(d)
	case len(r.config.Respond) > 0:
		d.Answer.Status = r.config.Respond[min(d.Try, len(r.config.Respond))-1]
	}
	d.Answer.Status = cmp.Or(d.Answer.Status, http.StatusOK)
	r.note(d)
	d.Answer.give(w, req)
}

// Deliveries returns what has arrived so far, in order of arrival.
func (r *Receiver) Deliveries() []Delivery {
	return slices.SortedFunc(slices.Values(r.journal.read()), func(a, b Delivery) int { return cmp.Compare(a.Number, b.Number) })
}

// Wait blocks until n deliveries have arrived and returns all that have. The error is the
// context's; then too it returns those that have arrived.
func (r *Receiver) Wait(ctx context.Context, n int) ([]Delivery, error) {
	err := r.journal.wait(ctx, func(all []Delivery) bool { return len(all) >= n })
	return r.Deliveries(), err
}

// WaitFor returns the first delivery that matches, as soon as there is one.
func (r *Receiver) WaitFor(ctx context.Context, match func(Delivery) bool) (Delivery, error) {
	var found Delivery
	err := r.journal.wait(ctx, func(all []Delivery) bool {
		i := slices.IndexFunc(all, match)
		if i >= 0 {
			found = all[i]
		}
		return i >= 0
	})
	return found, err
}

// Violations lists what must never happen and did: an id with two contents in one form, a
// job that ended twice, a wrong signature, a missing id. Tests require that it is empty.
func (r *Receiver) Violations() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.violations)
}

// take checks a delivery and records it.
func (r *Receiver) take(req *http.Request, body []byte) Delivery {
	d := Delivery{
		ID: req.Header.Get("webhook-id"), At: time.Now(), Method: req.Method, Path: req.URL.Path,
		Header: req.Header.Clone(), Body: body,
	}
	var job struct {
		JobID  string `json:"job_id"`
		Type   string `json:"type"`
		Status string `json:"status"`
	}
	_ = json.Unmarshal(body, &job) // an invalid body has no job
	d.JobID, d.Type, d.Status = job.JobID, job.Type, job.Status
	if r.verifier != nil {
		d.SimpleErr = r.verifier.simple(d.Header, body)
		d.StandardErr = r.verifier.standardHeaders(d.Header, body)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.enter(&d)
	return d
}

// enter numbers a delivery and compares it with those before it.
func (r *Receiver) enter(d *Delivery) {
	violated := func(format string, args ...any) {
		r.violations = append(r.violations, fmt.Sprintf(format, args...))
	}
	sum, its := sha256.Sum256(d.Body), formOf(d.Body)
	k := r.ids[d.ID]
	if k == nil {
		k = &known{bodies: map[form][sha256.Size]byte{}}
		r.ids[d.ID] = k
	}
	first, seen := k.bodies[its]
	if !seen {
		k.bodies[its] = sum
	}
	k.tries++
	r.count++
	d.Number, d.Try = r.count, k.tries
	switch {
	case d.ID == "":
		violated("%s %s came without webhook-id", d.Method, d.Path)
	case seen && first != sum:
		violated("try %d of %s came with other bytes than the first of its form", d.Try, d.ID)
	}
	if !d.Verified() {
		violated("try %d of %s is signed wrongly: simple: %v; standard: %v", d.Try, d.ID, d.SimpleErr, d.StandardErr)
	}
	if end(d.Type) {
		if first, ended := r.ends[d.JobID]; ended && first != d.ID {
			violated("job %s ended twice, in %s and in %s (%s)", d.JobID, first, d.ID, d.Type)
		} else {
			r.ends[d.JobID] = d.ID
		}
	}
}

// note makes a delivery visible to observers and waiters.
func (r *Receiver) note(d Delivery) {
	kept := d
	if r.config.Forget {
		kept.Header, kept.Body = nil, nil
	}
	r.journal.write(func(all []Delivery) []Delivery {
		return append(all, kept)
	})
	if r.config.Observe != nil {
		r.config.Observe(d)
	}
}

// end reports whether an event is a job's last.
func end(kind string) bool {
	switch kind {
	case "job.completed", "job.failed", "job.cancelled", "job.expired":
		return true
	}
	return false
}
