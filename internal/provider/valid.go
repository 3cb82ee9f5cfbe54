package provider

import (
	"bytes"
	"encoding/json"
	"regexp"

	"github.com/tidwall/gjson"
)

// valid says what json.Valid says, in a fraction of the time: gjson recurses where
// encoding/json does not, so it must not see text that is nested deep. A text has
// no more levels than bytes.
func valid(text []byte) bool {
	const shallow = 500
	if len(text) > shallow && nesting(text) > shallow {
		return json.Valid(text)
	}
	return gjson.ValidBytes(text)
}

// readable gives what a server means by its JSON; ok is false if that is none. Python
// writes numbers that JSON does not have, NaN and the infinite ones: they become null.
func readable(text []byte) (meant []byte, ok bool) {
	if valid(text) {
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
			meant, rest = append(meant, null...), rest[len(number):]
		case rest[0] == '"':
			n = extentOfString(rest)
			meant, rest = append(meant, rest[:n]...), rest[n:]
		default:
			meant, rest = append(meant, rest[0]), rest[1:]
		}
	}
	if !valid(meant) {
		return text, false
	}
	return meant, true
}

var notANumber = regexp.MustCompile(`^(?:NaN|-?Infinity)`)

// beginsAsJSON reports whether a text that is not JSON may have been meant to be: it
// may have lost something, so it must not be passed over as a text may.
func beginsAsJSON(text []byte) bool {
	first := firstByte(text)
	return first == '{' || first == '['
}
