package simulate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
)

// dialect is what differs between the protocols that the provider speaks.
type dialect struct {
	path      string // POST
	requestID string // the header that names a call
	key       func(http.Header) string
	// check refuses what the real provider would, in an otherwise good request.
	check func(http.Header, request) error
	// events is the answer as a stream, whole without streaming.
	events func(answer, request) iter.Seq[event]
	whole  func(answer) any
	// failure is the body of an error.
	failure func(status int, message, requestID string) any
	// errorEvent is the name of an error event, "" if it has no name.
	errorEvent string
	// overloaded is the status of an overloaded provider.
	overloaded int
	// broken is the beginning of an event.
	broken string
}

var dialects = []dialect{messages(), chat()}

// dialectOf returns the dialect that a path belongs to; an unknown path is refused in the
// first dialect.
func dialectOf(path string) (spoken dialect, known bool) {
	for _, d := range dialects {
		if d.path == path {
			return d, true
		}
	}
	return dialects[0], false
}

// event is one event of a stream; text is the text that it carries.
type event struct {
	name string // "" for none
	data []byte
	text string
}

// encode encodes JSON as the provider does: without HTML escapes.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("simulate: encode %T: %v", v, err)) // it is only called with our own types
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// fingerprint returns a short hash of the parts.
func fingerprint(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))[:24]
}
