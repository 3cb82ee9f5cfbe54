package api

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ringback/ringback"
)

// A formError is a body that is not as it should be. Its path grows outwards
// while it is returned, so that a valid body pays nothing for it.
type formError struct {
	path    string // "" where the body as a whole is at fault
	message string // follows the path in the sentence
}

func (e *formError) Error() string {
	if e.path == "" {
		return "the body " + e.message
	}
	return e.path + " " + e.message
}

// refusal is what the client hears of it.
func (e *formError) refusal() *ringback.Error {
	return ringback.Invalid(e.path, e.Error())
}

// maxPath bounds how much of a stranger's names comes back in an error.
const maxPath = 200

// within names the place that err is about, seen from one level further out.
func within(name string, err error) error {
	e, ok := errors.AsType[*formError](err)
	if !ok {
		return err
	}
	path := cmp.Or(name, `""`)
	if e.path != "" && !strings.HasPrefix(e.path, "[") {
		path += "."
	}
	path += e.path
	if len(path) > maxPath {
		path = strings.ToValidUTF8(path[:maxPath], "") + "…"
	}
	return &formError{path, e.message}
}

func index(i int) string { return "[" + strconv.Itoa(i) + "]" }

// syntaxError says what is wrong with text at a byte, and where that is.
func syntaxError(text []byte, at int, what string) error {
	before := text[:at]
	line := bytes.Count(before, []byte("\n")) + 1
	column := at - bytes.LastIndexByte(before, '\n')
	return &formError{message: fmt.Sprintf("is not valid JSON at line %d, byte %d: %s", line, column, what)}
}
