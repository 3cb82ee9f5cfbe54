package simulate

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// ProviderConfig configures a simulated provider. The zero value is a provider that accepts
// any key.
type ProviderConfig struct {
	// Key is the only API key that is not refused with 401; "" accepts all.
	Key string

	// Pace is the time between two words of sim/slow; 0 means 50 ms, so that its 80 words
	// take 4 s.
	Pace time.Duration

	// Observe is called when a call begins, after each piece of text that is sent, and when
	// the call has ended; in order for each call, but concurrently for several. The call
	// waits until it returns. nil: nobody observes. See [CallLog].
	Observe func(Call)
}

// Provider is the simulated provider. Make one with [NewProvider].
type Provider struct {
	key     string
	pace    time.Duration
	observe func(Call)
	number  atomic.Int64

	mu    sync.Mutex
	tries map[string]int // by fingerprint of model and prompt: calls since the last answer
}

// maxTries bounds the memory for prompts that were refused and never tried again.
const maxTries = 10_000

// NewProvider makes a provider that speaks the Anthropic protocol at POST /v1/messages and
// OpenAI's at POST /v1/chat/completions, with and without streaming. It has these models;
// any other is a 404.
//
//	sim/echo            the prompt's text (of the last message), at once
//	sim/slow            80 words, one each Pace
//	sim/flaky-N         500 for the first N calls with the same prompt, then one
//	                    answer as sim/echo, then the same from the beginning
//	sim/429             the same with 429 and Retry-After: 1, for two calls
//	sim/status-NNN      always this status (300 to 599), with the error's real type
//	sim/break-off[-N]   the connection breaks after N words of 80; always
//	sim/error-after-N   an error event, overloaded, after N words
//	sim/silent[-N]      not a byte more after N words
//	sim/short[-N]       a clean end after N words, without the stream's last events
//	sim/garbage[-N]     bytes that are not an event stream after N words
//	sim/endless         words until the client leaves
//	sim/mute            not even a status
//	sim/think           thoughts before the text
//	sim/tool            a tool is used after the text
//	sim/blocks          the prompt's text in three blocks, a word a piece, with
//	                    thoughts before the first and a tool's use after the second
//
// N is 40 by default; with 0 the trouble follows the first event. Without streaming a
// broken answer is half of its JSON, sim/error-after is a 529 (OpenAI: 503), and a model
// that would be silent or endless never answers.
//
// Knobs follow the name as in a URL: sim/slow?words=200&pace=1ms.
//
//	words=N             length of the text (of sim/echo too)
//	pace=DURATION       before each piece of the answer
//	first=DURATION      before the first byte
//	cut=N               the connection breaks after N bytes of the body
//	times=N             how many calls are refused, or fail otherwise, before
//	                    one succeeds; 0: all
//	retry_after=VALUE   the header of a refusal
//	location=URL        the same, for sim/status-3NN
func NewProvider(c ProviderConfig) *Provider {
	p := &Provider{key: c.Key, pace: cmp.Or(c.Pace, 50*time.Millisecond), observe: c.Observe, tries: map[string]int{}}
	if p.observe == nil {
		p.observe = func(Call) {}
	}
	return p
}

// ServeHTTP answers one call.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(w, r)
	spoken, known := dialectOf(r.URL.Path)
	a := &act{
		provider: p,
		dialect:  spoken,
		out:      &cutWriter{to: w, left: -1},
		r:        r,
		call:     Call{Number: int(p.number.Add(1)), Path: r.URL.Path, Header: r.Header.Clone(), Body: body},
	}
	w.Header().Set(spoken.requestID, fmt.Sprintf("req_sim_%d", a.call.Number))
	a.call.End = a.begin(known, err)
	p.observe(a.call)
	if a.out.broken {
		panic(http.ErrAbortHandler) // the way to break a connection in net/http
	}
}

// begin checks the request and plays it. It returns how the call ended.
func (a *act) begin(known bool, bodyErr error) End {
	if bodyErr != nil {
		status := http.StatusBadRequest
		if _, tooLarge := errors.AsType[*http.MaxBytesError](bodyErr); tooLarge {
			status = http.StatusRequestEntityTooLarge
		}
		return a.refuse(status, bodyErr.Error())
	}
	if a.r.Method != http.MethodPost || !known {
		return a.refuse(http.StatusNotFound, "there are only POST /v1/messages and POST /v1/chat/completions")
	}
	if key := a.provider.key; key != "" && a.dialect.key(a.r.Header) != key {
		return a.refuse(http.StatusUnauthorized, "invalid API key")
	}
	m, err := a.dialect.read(a.r.Header, a.call.Body)
	if err != nil {
		return a.refuse(http.StatusBadRequest, err.Error())
	}
	h, has, err := habitOf(m.Model, a.provider.pace)
	if err != nil {
		return a.refuse(http.StatusBadRequest, err.Error())
	}
	if !has {
		return a.refuse(http.StatusNotFound, "model: "+m.Model)
	}
	return a.play(h, m)
}

// goesWell reports whether this call for a prompt succeeds, and which try it is, from 1; 0
// if they are not counted.
func (p *Provider) goesWell(h habit, m request) (try int, well bool) {
	if h.times == 0 || !h.goesWrong() {
		return 0, !h.goesWrong()
	}
	p.mu.Lock()
	defer p.mu.Unlock()

	key := fingerprint(m.Model, m.prompt)
	try = p.tries[key] + 1
	if try > h.times {
		delete(p.tries, key)
		return try, true
	}
	if len(p.tries) >= maxTries {
		for old := range p.tries { // any one: a caller with ten thousand is not counting
			delete(p.tries, old)
			break
		}
	}
	p.tries[key] = try
	return try, false
}
