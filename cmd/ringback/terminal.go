package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// terminal says what is known of an output.
type terminal struct {
	is    bool // a person reads it as it comes
	color bool // and wants colours
	dumb  bool // it cannot write over a line
	width int  // in columns; 0: not known
}

// terminalOf looks at an output. Colours are off by NO_COLOR (https://no-color.org)
// and on a terminal that says it is dumb.
func terminalOf(w io.Writer) terminal {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return terminal{}
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		width = 0
	}
	dumb := os.Getenv("TERM") == "dumb"
	return terminal{is: true, color: os.Getenv("NO_COLOR") == "" && !dumb, dumb: dumb, width: width}
}

// painter colours words for a terminal; false leaves them as they are.
type painter bool

func (p painter) bold(s string) string  { return p.in("1", s) }
func (p painter) dim(s string) string   { return p.in("2", s) }
func (p painter) red(s string) string   { return p.in("31", s) }
func (p painter) green(s string) string { return p.in("32", s) }

func (p painter) in(code, s string) string {
	if !p {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// isFile says whether an output is a regular file: what is written there shows
// nowhere else.
func isFile(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}
