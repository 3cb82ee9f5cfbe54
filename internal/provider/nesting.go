package provider

import "errors"

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
