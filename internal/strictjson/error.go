package strictjson

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// An Error is what is wrong with a body. Its path grows outwards while it is returned, so
// that a valid body pays nothing for it.
type Error struct {
	Path    string // "" if the body as a whole is wrong
	Message string // follows the path in the sentence
}

func (e *Error) Error() string {
	if e.Path == "" {
		return "the body " + e.Message
	}
	return e.Path + " " + e.Message
}

// maxPath bounds how much of a caller's names is repeated in an error.
const maxPath = 200

// Within adds the name of the place that err is about, as seen from one level further out.
func Within(name string, err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	path := cmp.Or(name, `""`)
	if e.Path != "" && !strings.HasPrefix(e.Path, "[") {
		path += "."
	}
	path += e.Path
	if len(path) > maxPath {
		path = strings.ToValidUTF8(path[:maxPath], "") + "…"
	}
	return &Error{path, e.Message}
}

// Index returns the path of an item of a list.
func Index(i int) string { return "[" + strconv.Itoa(i) + "]" }

// syntaxError returns what is wrong with text at a byte, and where that is.
func syntaxError(text []byte, at int, what string) error {
	before := text[:at]
	line := bytes.Count(before, []byte("\n")) + 1
	column := at - bytes.LastIndexByte(before, '\n')
	return &Error{Message: fmt.Sprintf("is not valid JSON at line %d, byte %d: %s", line, column, what)}
}
