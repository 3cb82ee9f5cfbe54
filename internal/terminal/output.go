package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/plain"
)

// Output is where a command prints: data to stdout, talk to stderr.
type Output struct {
	JSON   bool      // data is printed as JSON, one object per line
	Quiet  bool      // no talk except errors
	Out    io.Writer // data
	Talk   io.Writer
	OutTo  Terminal
	TalkTo Terminal // of the talk
}

// AddOutputFlags adds --json and --quiet.
func AddOutputFlags(flags *pflag.FlagSet) {
	if flags.Lookup("json") == nil {
		flags.Bool("json", false, "print JSON, one object per line")
	}
	flags.BoolP("quiet", "q", false, "print only errors on stderr")
}

// OutputOf returns the output of a command that has the flags of AddOutputFlags.
func OutputOf(cmd *cobra.Command) Output {
	o := Output{Out: cmd.OutOrStdout(), Talk: cmd.ErrOrStderr(), OutTo: Of(cmd.OutOrStdout()), TalkTo: Of(cmd.ErrOrStderr())}
	o.JSON, _ = cmd.Flags().GetBool("json")   // AddOutputFlags has added it
	o.Quiet, _ = cmd.Flags().GetBool("quiet") // and this one
	return o
}

// Sayf prints a line of talk, unless the command is quiet.
func (o *Output) Sayf(format string, args ...any) {
	if !o.Quiet {
		fmt.Fprintf(o.Talk, format+"\n", args...)
	}
}

// Print prints data. An error, such as a closed pipe, should end the command.
func (o *Output) Print(text string) error {
	_, err := io.WriteString(o.Out, text)
	return err
}

// PrintJSON prints v as one line of JSON. Like the server, it escapes nothing for HTML. JSON
// itself escapes control characters.
func (o *Output) PrintJSON(v any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("encode the output: %w", err)
	}
	return o.Print(b.String())
}

// PrintText prints text from a model or a stranger: unchanged, except on a terminal, which
// it must not control. See Printable.
func (o *Output) PrintText(text string) error {
	if o.OutTo.Is {
		text = plain.Printable(text)
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return o.Print(text)
}

// Paint returns the painter of data.
func (o *Output) Paint() Painter { return Painter(o.OutTo.Color) }

// Table prints rows of cells in columns. They may be printed in parts.
type Table struct {
	Title []string
	// Paint colours a cell by its text; nil: no colours.
	Paint func(column int, cell string) string

	rows    [][]string // not printed yet
	widths  []int      // of the columns so far, in characters
	started bool       // the title has been printed
}

// Row adds a row. Each cell becomes one line that is safe to print.
func (t *Table) Row(cells ...string) {
	for i, cell := range cells {
		cells[i] = plain.OneLine(cell)
	}
	t.rows = append(t.rows, cells)
}

// Flush prints the rows that were added since the last Flush. It cuts the last cell so that
// a row fits into width columns of a terminal; 0: any width.
func (t *Table) Flush(out io.Writer, width int) error {
	if len(t.rows) == 0 {
		return nil
	}
	if !t.started {
		t.rows = append([][]string{t.Title}, t.rows...)
		t.widths = make([]int, len(t.Title))
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

func (t *Table) line(row []string, width int) string {
	line, used := "", 0
	for i, cell := range row {
		if i == len(row)-1 && width > 0 {
			cell = plain.Cut(cell, max(width-used, 10))
		}
		pad := strings.Repeat(" ", max(0, t.widths[i]-utf8.RuneCountInString(cell)))
		used += t.widths[i] + 2
		if t.Paint != nil && t.started {
			cell = t.Paint(i, cell)
		}
		line += cell + pad + "  "
	}
	return strings.TrimRight(line, " ") + "\n"
}

// StatusPaint colours the status of a job or a delivery.
func StatusPaint(p Painter, status string) string {
	switch status {
	case string(ringback.Completed), string(ringback.DeliveryDelivered):
		return p.Green(status)
	case string(ringback.Failed), string(ringback.Expired), string(ringback.DeliveryDead):
		return p.Red(status)
	case string(ringback.Running):
		return p.Bold(status)
	}
	return status
}
