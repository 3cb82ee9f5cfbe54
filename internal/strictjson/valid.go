package strictjson

import (
	"bytes"
	"encoding/json"
	"regexp"

	"github.com/tidwall/gjson"
)

// Valid reports what json.Valid reports, in a fraction of the time: gjson recurses where
// encoding/json does not, so it must not see deeply nested text. A text has no more levels
// than bytes.
func Valid(text []byte) bool {
	const shallow = 500
	if len(text) > shallow && Depth(text) > shallow {
		return json.Valid(text)
	}
	return gjson.ValidBytes(text)
}

// Repair returns the JSON that a server meant; ok is false if the text is not JSON. Python
// writes numbers that JSON does not have, NaN and the infinities: they become null.
func Repair(text []byte) (meant []byte, ok bool) {
	if Valid(text) {
		return text, true
	}
	if !bytes.Contains(text, []byte("NaN")) && !bytes.Contains(text, []byte("Infinity")) {
		return text, false
	}
	meant = make([]byte, 0, len(text))
	for rest := text; len(rest) > 0; {
		n := bytes.IndexAny(rest, `"NI-`)
		if n < 0 {
			n = len(rest)
		}
		meant, rest = append(meant, rest[:n]...), rest[n:]
		switch number := notANumber.Find(rest); {
		case len(rest) == 0:
		case number != nil:
			meant, rest = append(meant, Null...), rest[len(number):]
		case rest[0] == '"':
			n = StringLen(rest)
			meant, rest = append(meant, rest[:n]...), rest[n:]
		default:
			meant, rest = append(meant, rest[0]), rest[1:]
		}
	}
	if !Valid(meant) {
		return text, false
	}
	return meant, true
}

var notANumber = regexp.MustCompile(`^(?:NaN|-?Infinity)`)

// LooksLikeJSON reports whether a text that is not JSON may have been meant to be: part of
// it may be lost, so it must not be ignored as a text may.
func LooksLikeJSON(text []byte) bool {
	first := FirstByte(text)
	return first == '{' || first == '['
}

// Null is the JSON text null.
var Null = []byte("null")
