package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ringback/ringback"
)

// print writes data; a pipe that was closed ends the command.
func (s *session) print(text string) error {
	_, err := io.WriteString(s.out, text)
	return err
}

// printJSON writes one object in one line, as the server's: nothing is escaped for
// HTML. Control characters are escaped by JSON itself.
func (s *session) printJSON(v any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("encode the output: %w", err)
	}
	return s.print(b.String())
}

// printText writes what a model or a stranger wrote: to a terminal so that it
// cannot steer it, elsewhere byte by byte.
func (s *session) printText(text string) error {
	if s.outTo.is {
		text = printable(text)
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return s.print(text)
}

func (s *session) paint() painter { return painter(s.outTo.color) }

// table is rows of cells in columns, which may be printed in parts.
type table struct {
	title []string
	// paint colours a cell by its text; nil leaves all as they are.
	paint func(column int, cell string) string

	rows    [][]string // that wait for flush
	widths  []int      // of the columns, so far
	started bool       // the title is printed
}

// row adds a row. What strangers wrote in a cell becomes one harmless line.
func (t *table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = oneLine(cell)
	}
	t.rows = append(t.rows, cells)
}

// flush prints the rows that wait. The last column is cut so that a row fits into
// width columns of a terminal; 0 is any width.
func (t *table) flush(out io.Writer, width int) error {
	if len(t.rows) == 0 {
		return nil
	}
	if !t.started {
		t.rows = append([][]string{t.title}, t.rows...)
		t.widths = make([]int, len(t.title))
	}
	for _, row := range t.rows {
		for i, cell := range row {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		b.WriteString(t.line(row, width))
		t.started = true
	}
	t.rows = nil
	_, err := io.WriteString(out, b.String())
	return err
}

func (t *table) line(row []string, width int) string {
	line, used := "", 0
	for i, cell := range row {
		if i == len(row)-1 && width > 0 {
			cell = cut(cell, max(width-used, 10))
		}
		pad := strings.Repeat(" ", max(0, t.widths[i]-utf8.RuneCountInString(cell)))
		used += t.widths[i] + 2
		if t.paint != nil && t.started {
			cell = t.paint(i, cell)
		}
		line += cell + pad + "  "
	}
	return strings.TrimRight(line, " ") + "\n"
}

// oneLine is a text in one line that cannot steer a terminal.
func oneLine(s string) string { return printable(strings.Join(strings.Fields(s), " ")) }

// cut is the beginning of a text, in at most so many characters.
func cut(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

// statusPaint colours the state of a job or a delivery.
func statusPaint(p painter, status string) string {
	switch status {
	case string(ringback.Completed), string(ringback.DeliveryDelivered):
		return p.green(status)
	case string(ringback.Failed), string(ringback.Expired), string(ringback.DeliveryDead):
		return p.red(status)
	case string(ringback.Running):
		return p.bold(status)
	}
	return status
}

// span is a duration for people: two figures are enough.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	count := func(unit time.Duration) int { return int(d.Round(unit) / unit) }
	switch d = max(d, 0); {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", count(time.Second))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", count(time.Minute))
	case d < 2*day:
		return fmt.Sprintf("%d h", count(time.Hour))
	}
	return fmt.Sprintf("%d d", count(day))
}

func millis(ms int64) string { return span(time.Duration(ms) * time.Millisecond) }

// clock is a time for people: that of the day, with the date if that is not today.
func clock(t ringback.Time, now time.Time) string {
	local, layout := t.Local(), time.TimeOnly
	if y, m, d := local.Date(); y != now.Local().Year() || m != now.Local().Month() || d != now.Local().Day() {
		layout = time.DateTime
	}
	return local.Format(layout)
}

// when is a time that is to come, or was.
func when(t ringback.Time, now time.Time) string {
	if d := t.Sub(now); d > 0 {
		return fmt.Sprintf("at %s, in %s", clock(t, now), span(d))
	}
	return fmt.Sprintf("at %s, %s ago", clock(t, now), span(now.Sub(t.Time)))
}
