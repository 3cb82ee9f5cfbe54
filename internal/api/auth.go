package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/intake"
)

// A keyring has only the hash of the API key, so that the key cannot be printed, and
// comparing takes the same time for keys of any length.
type keyring struct {
	hash [sha256.Size]byte
	any  bool // no key is set up: everybody is let in
	// owner is the caller who shows the key.
	owner intake.Caller
}

func newKeyring(key string) keyring {
	return keyring{
		hash: sha256.Sum256([]byte(key)), any: key == "",
		owner: intake.Caller{Project: intake.DefaultProject, Role: intake.Operator},
	}
}

// identify finds out who calls a route, and lets callers in: by the key or, where the route
// accepts it, by a token for its one job.
func (s *Server) identify(r *http.Request, rt *route) (intake.Caller, error) {
	if rt.open {
		caller, _ := s.keys.admit(r.Header) // may be anonymous
		return caller, nil
	}
	token := ""
	if rt.token {
		token = r.URL.Query().Get("token")
	}
	switch {
	case token == "":
		return s.keys.admit(r.Header)
	case s.keys.opened(r.Header):
		return s.keys.owner, nil
	case s.node.Opens(r.PathValue("id"), token):
		return intake.Caller{Project: s.keys.owner.Project, Role: intake.Watcher}, nil
	}
	return intake.Caller{}, &ringback.Error{
		Code:    ringback.Unauthorized,
		Message: "this token does not open this job, or its hour is over; GET /api/jobs/{id} has a new stream_url",
	}
}

// admit lets a caller in that presents the key, in either of two headers.
func (k keyring) admit(h http.Header) (intake.Caller, error) {
	if k.any || k.opened(h) {
		return k.owner, nil
	}
	if len(credentials(h)) == 0 {
		return intake.Caller{}, &ringback.Error{
			Code:    ringback.Unauthorized,
			Message: "an API key is required; send it as Authorization: Bearer KEY or as x-api-key: KEY",
		}
	}
	return intake.Caller{}, &ringback.Error{Code: ringback.Unauthorized, Message: "this API key is not known here; check RINGBACK_API_KEY on both sides"}
}

// opened reports whether there is a key and one of the headers has it.
func (k keyring) opened(h http.Header) bool {
	for _, key := range credentials(h) {
		hash := sha256.Sum256([]byte(key))
		if !k.any && subtle.ConstantTimeCompare(hash[:], k.hash[:]) == 1 {
			return true
		}
	}
	return false
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
