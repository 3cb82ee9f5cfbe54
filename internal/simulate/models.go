package simulate

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"
)

// Models are the models for users, as shown by `serve --simulate`. The rest of
// [NewProvider]'s list is for tests.
var Models = []string{"sim/echo", "sim/slow", "sim/flaky-3", "sim/429", "sim/break-off"}

// habit is how a model behaves.
type habit struct {
	refusal *refusal      // instead of an answer; nil: none
	answer  answerKind    // the kind of answer
	words   int           // of a generated text
	pace    time.Duration // before each piece of the answer
	first   time.Duration // before the first byte
	trouble trouble
	after   int // words of the answer before the trouble; -1: half of them
	cut     int // bytes of the body after which the connection breaks; -1: never
	times   int // calls for the same model and prompt that fail before one succeeds, again and again; 0: all fail
}

// refusal is an answer with an error status.
type refusal struct {
	status     int
	retryAfter string
	location   string
}

type answerKind int

const (
	sayEcho answerKind = iota
	sayText
	sayThought
	sayTool
	sayBlocks
)

// trouble is what happens in the middle of an answer.
type trouble int

const (
	noTrouble   trouble = iota
	breakOff            // the connection breaks
	errorEvent          // an error event: overloaded
	fallSilent          // not a byte more until the client leaves
	stopShort           // a clean end without the stream's last events
	turnGarbage         // bytes that are not an event stream
	neverEnd            // words until the client leaves
	neverAnswer         // not even a status until the client leaves
)

// model sets up a habit; n is the number at the end of the name, -1 if there is none.
type model struct {
	number numberRule
	set    func(h *habit, n int)
}

type numberRule int

const (
	noNumber numberRule = iota
	mayNumber
	mustNumber
)

func (r numberRule) allows(n int) bool {
	return r == mayNumber || (n >= 0) == (r == mustNumber)
}

var models = map[string]model{
	"echo":   {noNumber, func(*habit, int) {}},
	"slow":   {noNumber, func(h *habit, _ int) { h.answer = sayText }},
	"think":  {noNumber, func(h *habit, _ int) { h.answer = sayThought }},
	"tool":   {noNumber, func(h *habit, _ int) { h.answer = sayTool }},
	"blocks": {noNumber, func(h *habit, _ int) { h.answer = sayBlocks }},
	"429": {noNumber, func(h *habit, _ int) {
		h.refusal, h.times = &refusal{status: http.StatusTooManyRequests, retryAfter: "1"}, 2
	}},
	"flaky": {mustNumber, func(h *habit, n int) {
		h.refusal, h.times = &refusal{status: http.StatusInternalServerError}, n
	}},
	"status":      {mustNumber, func(h *habit, n int) { h.refusal = &refusal{status: n} }},
	"break-off":   {mayNumber, inTrouble(breakOff)},
	"error-after": {mayNumber, inTrouble(errorEvent)},
	"silent":      {mayNumber, inTrouble(fallSilent)},
	"short":       {mayNumber, inTrouble(stopShort)},
	"garbage":     {mayNumber, inTrouble(turnGarbage)},
	"endless":     {noNumber, inTrouble(neverEnd)},
	"mute":        {noNumber, inTrouble(neverAnswer)},
}

func inTrouble(t trouble) func(*habit, int) {
	return func(h *habit, n int) { h.answer, h.trouble, h.after = sayText, t, n }
}

var modelName = regexp.MustCompile(`^sim/(429|[a-z]+(?:-[a-z]+)*)(?:-(\d{1,9}))?(?:\?(.*))?$`)

// habitOf parses a model's name. It returns false if there is no such model, and an error
// for an invalid knob.
func habitOf(name string, pace time.Duration) (habit, bool, error) {
	parts := modelName.FindStringSubmatch(name)
	if parts == nil {
		return habit{}, false, nil
	}
	n := -1
	if parts[2] != "" {
		n, _ = strconv.Atoi(parts[2]) // nine digits at most
	}
	m, ok := models[parts[1]]
	if !ok || !m.number.allows(n) {
		return habit{}, false, nil
	}
	h := habit{words: 80, after: -1, cut: -1}
	if parts[1] == "slow" {
		h.pace = pace
	}
	m.set(&h, n)
	if h.refusal != nil && (h.refusal.status < 300 || h.refusal.status > 599) {
		return habit{}, false, nil
	}
	return h, true, h.turn(parts[3])
}

// goesWrong reports whether a call may fail.
func (h *habit) goesWrong() bool { return h.refusal != nil || h.trouble != noTrouble || h.cut >= 0 }

// well returns the habit of a call that succeeds.
func (h *habit) well() habit {
	well := *h
	well.refusal, well.trouble, well.cut = nil, noTrouble, -1
	return well
}

// turn applies the knobs after the question mark.
func (h *habit) turn(knobs string) error {
	values, err := url.ParseQuery(knobs)
	if err != nil {
		return fmt.Errorf("model knobs: %w", err)
	}
	for name := range values {
		if err := h.knob(name, values.Get(name)); err != nil {
			return fmt.Errorf("model knob %s: %w", name, err)
		}
	}
	if values.Has("times") && !h.goesWrong() {
		return fmt.Errorf("model knob times: with this model nothing goes wrong")
	}
	return nil
}

func (h *habit) knob(name, value string) (err error) {
	switch name {
	case "words":
		h.words, err = count(value)
		if h.answer == sayEcho {
			h.answer = sayText
		}
	case "pace":
		h.pace, err = time.ParseDuration(value)
	case "first":
		h.first, err = time.ParseDuration(value)
	case "cut":
		h.cut, err = count(value)
	case "times":
		h.times, err = count(value)
	case "retry_after", "location":
		err = h.refusal.knob(name, value)
	default:
		err = fmt.Errorf("there is no such knob")
	}
	return err
}

func (r *refusal) knob(name, value string) (err error) {
	switch {
	case r == nil:
		err = fmt.Errorf("this model refuses nothing")
	case name == "retry_after":
		r.retryAfter = value
	case name == "location":
		r.location = value
	}
	return err
}

// count parses a number, bounded by what a test can need.
func count(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, err
	}
	if n < 0 || n > 100_000_000 {
		return 0, fmt.Errorf("%d is out of range", n)
	}
	return n, nil
}
