package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ringback/ringback"
)

// output is where the data and the talk of a command go.
type output struct {
	json  bool      // data is JSON, one object a line
	quiet bool      // no talk but errors
	out   io.Writer // data
	talk  io.Writer
	outTo terminal
	to    terminal // of the talk
}

func addOutputFlags(flags *pflag.FlagSet) {
	if flags.Lookup("json") == nil {
		flags.Bool("json", false, "print JSON, one object per line")
	}
	flags.BoolP("quiet", "q", false, "print only errors on stderr")
}

// outputOf is that of a command with the flags of addOutputFlags.
func outputOf(cmd *cobra.Command) output {
	o := output{out: cmd.OutOrStdout(), talk: cmd.ErrOrStderr(), outTo: terminalOf(cmd.OutOrStdout()), to: terminalOf(cmd.ErrOrStderr())}
	o.json, _ = cmd.Flags().GetBool("json")   // it is there
	o.quiet, _ = cmd.Flags().GetBool("quiet") // as well
	return o
}

// sayf says something to people.
func (o *output) sayf(format string, args ...any) {
	if !o.quiet {
		fmt.Fprintf(o.talk, format+"\n", args...)
	}
}

// print writes data; a pipe that was closed ends the command.
func (o *output) print(text string) error {
	_, err := io.WriteString(o.out, text)
	return err
}

// printJSON writes one object in one line, as the server's: nothing is escaped for
// HTML. Control characters are escaped by JSON itself.
func (o *output) printJSON(v any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("encode the output: %w", err)
	}
	return o.print(b.String())
}

// printText writes what a model or a stranger wrote: to a terminal so that it
// cannot steer it, elsewhere byte by byte.
func (o *output) printText(text string) error {
	if o.outTo.is {
		text = printable(text)
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return o.print(text)
}

func (o *output) paint() painter { return painter(o.outTo.color) }

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
