package listen

import (
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"github.com/ringback/ringback"
)

// received is a webhook that arrived.
type received struct {
	at      time.Time
	method  string
	path    string
	id      string // webhook-id; "": it has none
	try     int    // of this id, from 1; 0 if there is no id, or the webhook does not verify
	changed bool   // the same id arrived before in this form with other bytes, which must never happen
	resized bool   // the same id arrived before, but not in this form
	message error  // what is wrong with the three headers of Standard Webhooks; nil: they verify
	simple  error  // what is wrong with X-Webhook-Signature; nil: it verifies
	// rotating: the server signs with several secrets, and only webhook-signature verifies
	// with one of ours.
	rotating bool
	body     []byte
	event    string     // its type; "": it has none
	status   int        // of the response to it
	sent     *forwarded // nil: it was not forwarded
}

func (r received) verified() bool { return r.message == nil && r.simple == nil }

// receiver verifies webhooks and remembers their ids.
type receiver struct {
	secrets []ringback.Secret
	to      *printer
	answers *answers   // nil: 200
	forward *forwarder // nil: webhooks are not forwarded
	events  []string   // take only these; empty: all

	mu    sync.Mutex // guards what follows
	seen  map[string]seen
	order []string // the ids in seen, oldest first
}

// seen is what is remembered of an id.
type seen struct {
	tries  int
	bodies map[form][sha256.Size]byte // the first of each form
}

// form is which parts of an answer a webhook has. A webhook is sent again in a smaller form,
// under the same id, to a receiver that responded with 413, or on request.
type form struct{ result, response, partial bool }

func formOf(body []byte) form {
	has := func(member string) bool { return gjson.GetBytes(body, member).Exists() }
	return form{has("result"), has("response"), has("partial_result")}
}

const (
	maxReceived = 128 << 20 // of a body, in bytes
	maxSeen     = 10_000    // ids remembered
)

func newReceiver(p *printer) *receiver {
	return &receiver{to: p, seen: map[string]seen{}}
}

// ServeHTTP receives one webhook.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "ringback listen accepts only webhooks, by POST", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxReceived))
	if err != nil {
		status := http.StatusBadRequest
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, "the body could not be read: "+err.Error(), status)
		return
	}
	got := r.verify(req, body)
	switch {
	case !got.verified():
		http.Error(w, "the signatures do not verify", got.status)
	case len(r.events) > 0 && !slices.Contains(r.events, got.event):
		w.WriteHeader(got.status)
		return // not printed, not forwarded
	default:
		r.take(w, req, &got)
	}
	r.to.webhook(got)
}

// take responds to a webhook, after forwarding it if there is a forwarder.
func (r *receiver) take(w http.ResponseWriter, req *http.Request, got *received) {
	if r.forward != nil {
		got.sent = r.forward.send(req.Context(), req.Header, got.body)
		got.status = got.sent.status
	}
	if r.answers != nil {
		got.status = r.answers.next()
	}
	if got.sent != nil {
		got.sent.answer(w, got.status)
	} else {
		w.WriteHeader(got.status)
	}
}

// verify verifies a webhook and compares it with earlier ones under the same id.
func (r *receiver) verify(req *http.Request, body []byte) received {
	got := received{
		at: time.Now(), method: req.Method, path: req.URL.Path, id: req.Header.Get(ringback.HeaderWebhookID),
		message: ringback.Verify(req.Header, body, r.secrets...),
		simple:  ringback.VerifyBody(req.Header, body, r.secrets...),
		body:    body, event: gjson.GetBytes(body, "type").String(), status: http.StatusOK,
	}
	if got.message == nil && errors.Is(got.simple, ringback.ErrNoMatchingSignature) && strings.Contains(req.Header.Get(ringback.HeaderWebhookSignature), " ") {
		got.simple, got.rotating = nil, true // X-Webhook-Signature uses only the newest of several secrets
	}
	if !got.verified() {
		got.status = http.StatusBadRequest
		return got // ids of strangers are not remembered
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	sum, its := sha256.Sum256(body), formOf(body)
	s, known := r.seen[got.id]
	if !known {
		s.bodies = map[form][sha256.Size]byte{}
		r.remember(got.id)
	}
	first, again := s.bodies[its]
	if !again {
		first, s.bodies[its] = sum, sum
	}
	s.tries++
	r.seen[got.id] = s
	got.try, got.changed, got.resized = s.tries, first != sum, known && !again
	return got
}

// remember adds an id, and forgets the oldest one if there are too many.
func (r *receiver) remember(id string) {
	if len(r.order) == maxSeen {
		delete(r.seen, r.order[0])
		r.order = r.order[1:]
	}
	r.order = append(r.order, id)
}
