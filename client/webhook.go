package client

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/ringback/ringback"
)

// maxEvent bounds what is read of a webhook before it is known who sent it, in
// bytes.
const maxEvent = 32 << 20

// Event reads a webhook that r brought and verifies it by [ringback.Verify]:
// its signature, made with one of the secrets, and its time. Answer an error
// with 400, anything else with 2xx once the event is safe with you; until then
// it comes again, with the same webhook-id.
//
// Event takes bodies up to 32 MiB, which is far above what models answer. Who
// expects more reads the body and calls [ringback.Verify]; who wants less asks
// for the webhook_body "thin", or puts [http.MaxBytesReader] around r.Body.
func Event(r *http.Request, secrets ...ringback.Secret) (ringback.Event, error) {
	var event ringback.Event
	body, err := readAtMost(r.Body, maxEvent)
	if err != nil {
		return event, fmt.Errorf("read the webhook: %w", err)
	}
	if err := ringback.Verify(r.Header, body, secrets...); err != nil {
		return event, fmt.Errorf("verify the webhook: %w", err)
	}
	if err := json.Unmarshal(body, &event); err != nil {
		return event, fmt.Errorf("read the webhook: %w", err)
	}
	return event, nil
}
