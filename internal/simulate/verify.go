package simulate

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// verifier checks both signatures with one secret, each independently: the simple one with
// crypto/hmac, the other with the official library.
type verifier struct {
	secret   string
	standard *standardwebhooks.Webhook
}

// newVerifier takes a secret in Ringback's form: after whsec_ it is base64 for Standard
// Webhooks, any other is used as its bytes.
func newVerifier(secret string) (*verifier, error) {
	standard, err := standardwebhooks.NewWebhookRaw([]byte(secret))
	if strings.HasPrefix(secret, "whsec_") {
		standard, err = standardwebhooks.NewWebhook(secret)
	}
	if err != nil {
		return nil, fmt.Errorf("receiver secret: %w", err)
	}
	return &verifier{secret: secret, standard: standard}, nil
}

// simple checks X-Webhook-Signature: sha256=<hex>, over only the body.
func (v *verifier) simple(h http.Header, body []byte) error {
	got, err := only(h, "X-Webhook-Signature")
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, []byte(v.secret))
	mac.Write(body)
	if want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); !hmac.Equal([]byte(got), []byte(want)) {
		return fmt.Errorf("X-Webhook-Signature does not match the body")
	}
	return nil
}

// standardHeaders checks webhook-id, webhook-timestamp and webhook-signature,
// one line each: the official library for Go reads only the first.
func (v *verifier) standardHeaders(h http.Header, body []byte) error {
	for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
		if _, err := only(h, name); err != nil {
			return err
		}
	}
	if id := h.Get("webhook-id"); strings.Contains(id, ".") {
		return fmt.Errorf("webhook-id %q holds a dot", id)
	}
	return v.standard.Verify(body, h)
}

func only(h http.Header, name string) (string, error) {
	if n := len(h.Values(name)); n != 1 {
		return "", fmt.Errorf("%d lines of %s, want 1", n, name)
	}
	return h.Get(name), nil
}
