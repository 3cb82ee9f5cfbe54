package provider

import (
	"errors"
	"fmt"
)

// maxNesting is how deep arrays and objects of an answer may stand in each other.
// The answer will stand in other JSON, which encoding/json neither writes nor
// reads beyond 10,000: a job with a deeper one could never be shown.
const maxNesting = 5000

var errTooDeep = errors.New("the answer is nested too deep")

// nesting says how deep arrays and objects stand in each other in valid JSON.
func nesting(text []byte) (deepest int) {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// maxNames bounds the names in an event, or in an answer that comes as a whole. Objects
// are taken apart and put together again name by name, which costs many times what a
// short member has in bytes.
const (
	maxNames   = 400_000
	bytesAName = 64 // of the message, as reserve charges it
)

var errTooManyNames = fmt.Errorf("there are more than %d names in it", maxNames)

// names counts the names of all objects in a text that is long enough for it to matter.
func names(text []byte) (n int) {
	const short = 64 << 10
	if len(text) < short {
		return 0
	}
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ':' && !quoted:
			n++
		}
	}
	return n
}
