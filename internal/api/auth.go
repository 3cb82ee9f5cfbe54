package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/ringback/ringback"
)

// A keyring knows the API key by its hash alone, so that it cannot be printed,
// and so that comparing takes the same time for keys of any length.
type keyring struct {
	hash [sha256.Size]byte
	any  bool // no key is set up: whoever gets here may come in
}

func newKeyring(key string) keyring {
	return keyring{hash: sha256.Sum256([]byte(key)), any: key == ""}
}

// admit lets in who carries the key, in either of two headers.
func (k keyring) admit(h http.Header) error {
	if k.any {
		return nil
	}
	given := credentials(h)
	if len(given) == 0 {
		return &ringback.Error{
			Code:    ringback.Unauthorized,
			Message: "an API key is required; send it as Authorization: Bearer KEY or as x-api-key: KEY",
		}
	}
	for _, key := range given {
		hash := sha256.Sum256([]byte(key))
		if subtle.ConstantTimeCompare(hash[:], k.hash[:]) == 1 {
			return nil
		}
	}
	return &ringback.Error{Code: ringback.Unauthorized, Message: "this API key is not known here; check RINGBACK_API_KEY on both sides"}
}

func credentials(h http.Header) []string {
	var given []string
	if scheme, token, ok := strings.Cut(h.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		given = append(given, strings.TrimSpace(token))
	}
	if key := h.Get("X-Api-Key"); key != "" {
		given = append(given, key)
	}
	return given
}
