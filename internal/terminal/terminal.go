// Package terminal prints what a command has found out: as text for people, with colours
// and live lines on a terminal, or as JSON for programs.
//
//	terminal.go  what is known of an output or an input, and colours
//	output.go    where a command prints: data, and talk about it; tables
//	progress.go  how a long operation is going
//	complete.go  values of flags that the shell completes
package terminal

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Terminal is what is known of an output.
type Terminal struct {
	Is    bool // it is a terminal
	Color bool // the user wants colours
	dumb  bool // it cannot overwrite a line
	Width int  // in columns; 0: unknown
}

// Of inspects an output. Colours are off if NO_COLOR is set (https://no-color.org) and on
// a dumb terminal.
func Of(w io.Writer) Terminal {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return Terminal{}
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		width = 0
	}
	dumb := os.Getenv("TERM") == "dumb"
	return Terminal{Is: true, Color: os.Getenv("NO_COLOR") == "" && !dumb, dumb: dumb, Width: width}
}

// Painter colours text for a terminal; false leaves it as it is.
type Painter bool

// Bold returns s so that a terminal shows it bold.
func (p Painter) Bold(s string) string { return p.in("1", s) }

// Dim returns s so that a terminal shows it dimmed.
func (p Painter) Dim(s string) string { return p.in("2", s) }

// Red returns s so that a terminal shows it red.
func (p Painter) Red(s string) string { return p.in("31", s) }

// Green returns s so that a terminal shows it green.
func (p Painter) Green(s string) string { return p.in("32", s) }

func (p Painter) in(code, s string) string {
	if !p {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// isFile reports whether an output is a regular file, which shows on no terminal.
func isFile(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}

// ClearLine erases the line that the cursor is on.
const ClearLine = "\r\x1b[K"

// Interactive reports whether input comes from a terminal, where a person can be asked.
func Interactive(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
