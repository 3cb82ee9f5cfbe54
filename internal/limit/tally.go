package limit

import "time"

const (
	tallySpan  = time.Minute // what is remembered
	tallyCells = 12          // in cells of five seconds
	tallyShare = 0.7         // of failures, that breaks
)

// tally counts successes and failures, to detect when there are too many failures: so many
// in a row, or 70 % of at least as many verdicts within the last minute. The minute is
// counted in cells of five seconds, so it may be up to one cell short.
type tally struct {
	breakAfter int
	since      time.Time // counted from; its monotonic reading makes a clock that is set harmless
	row        int       // failures since the last success
	last       time.Time // of a failure
	cells      [tallyCells]cell
}

type cell struct {
	number     int64 // of five seconds since the tally began
	ok, failed int
}

// succeeded notes a success.
func (t *tally) succeeded(now time.Time) {
	t.row = 0
	t.cell(now).ok++
}

// failed notes a failure and reports whether there are now too many. A row of failures does
// not age: a host that is called once an hour and has failed ten times has shown no success
// in between.
func (t *tally) failed(now time.Time) bool {
	t.row++
	t.last = now
	t.cell(now).failed++
	return t.row >= t.breakAfter || t.mostFailed(now)
}

// clean reports whether there was no failure within the last minute.
func (t *tally) clean(now time.Time) bool {
	return now.Sub(t.last) > tallySpan
}

// reset forgets everything.
func (t *tally) reset() {
	*t = tally{breakAfter: t.breakAfter, since: t.since}
}

func (t *tally) mostFailed(now time.Time) bool {
	oldest := t.number(now) - tallyCells + 1
	var ok, failed int
	for _, c := range t.cells {
		if c.number >= oldest {
			ok, failed = ok+c.ok, failed+c.failed
		}
	}
	return ok+failed >= t.breakAfter && float64(failed) >= tallyShare*float64(ok+failed)
}

// cell returns the cell of the present five seconds, emptied if it held older ones.
func (t *tally) cell(now time.Time) *cell {
	n := t.number(now)
	c := &t.cells[n%tallyCells]
	if c.number != n {
		*c = cell{number: n}
	}
	return c
}

func (t *tally) number(now time.Time) int64 {
	return int64(now.Sub(t.since) / (tallySpan / tallyCells))
}
