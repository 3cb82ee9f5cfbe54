package client

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/ringback/ringback"
)

// maxEvent bounds how much of a webhook is read before its sender is verified, in bytes.
const maxEvent = 32 << 20

// Event reads the webhook in r and verifies it with [ringback.Verify]: its signature, made
// with one of the secrets, and its time. Reply to an error with 400, and with 2xx once the
// event is safe with you; until then it is sent again, with the same webhook-id.
//
// Event accepts bodies up to 32 MiB, far more than models answer. To accept more, read the
// body and call [ringback.Verify]; to accept less, ask for the webhook_body "thin", or put
// [http.MaxBytesReader] around r.Body.
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
