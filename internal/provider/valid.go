package provider

import (
	"encoding/json"

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

// beginsAsJSON reports whether a text that is not JSON may have been meant to be: it
// may have lost something, so it must not be passed over as a text may.
func beginsAsJSON(text []byte) bool {
	first := firstByte(text)
	return first == '{' || first == '['
}
