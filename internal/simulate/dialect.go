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
	// check refuses what the real provider would, of an otherwise good request.
	check func(http.Header, request) error
	// events is an answer as a stream, whole without.
	events func(answer, request) iter.Seq[event]
	whole  func(answer) any
	// failure is the body of an error.
	failure func(status int, message, requestID string) any
	// errorEvent names the event of an error, "" if it has no name.
	errorEvent string
	// overloaded is the status of a provider that is.
	overloaded int
	// broken is the beginning of an event.
	broken string
}

var dialects = []dialect{messages(), chat()}

// dialectOf is the one that a path belongs to; what belongs to none is refused
// in the words of the first.
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

// encode is JSON as the provider writes it: without HTML escapes.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("simulate: encode %T: %v", v, err)) // only our own types come here
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// fingerprint is short, and the same for the same parts.
func fingerprint(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))[:24]
}
