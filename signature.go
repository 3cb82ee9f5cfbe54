package ringback

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The headers of a webhook. The first three are those of Standard Webhooks
// (https://www.standardwebhooks.com); they cover the id, the time and the body.
// X-Webhook-Signature covers only the body, so anyone who has seen one message can send it
// again: receivers should prefer the others.
const (
	HeaderWebhookID        = "webhook-id"
	HeaderWebhookTimestamp = "webhook-timestamp"
	HeaderWebhookSignature = "webhook-signature"
	HeaderBodySignature    = "X-Webhook-Signature"
)

// SignatureTolerance is how far a webhook-timestamp may be from the receiver's clock, in
// either direction.
const SignatureTolerance = 300 * time.Second

// The errors that [Verify] and [VerifyBody] return.
var (
	// ErrMissingHeader means that a header of the signature is missing.
	ErrMissingHeader = errors.New("a webhook header is missing")
	// ErrMalformedTimestamp means that webhook-timestamp is not a number of seconds.
	ErrMalformedTimestamp = errors.New("webhook-timestamp is not a number of seconds since 1970")
	// ErrTooOld means that the message was signed more than 300 s ago, or that the
	// receiver's clock is fast.
	ErrTooOld = errors.New("webhook-timestamp is more than 300 s in the past")
	// ErrTooNew means that the message was signed more than 300 s ahead of the receiver's
	// clock.
	ErrTooNew = errors.New("webhook-timestamp is more than 300 s in the future")
	// ErrNoMatchingSignature means that none of the signatures was made over these bytes
	// with one of the secrets.
	ErrNoMatchingSignature = errors.New("no signature matches: another secret, or the body was changed")
)

const (
	whsecPrefix   = "whsec_"
	minWhsecBytes = 16
	newKeyBytes   = 32
	redacted      = "[secret]"
)

// Secret is a secret that webhooks are signed with. It reveals nothing when printed, logged
// or encoded; [Secret.Reveal] and [Secret.Whsec] return its text. The zero value holds no
// secret: it signs nothing and matches nothing.
type Secret struct {
	// Where a Secret is an unexported field of another struct, fmt calls none of its
	// methods and prints what it finds. It follows one pointer (for a verb that does not
	// fit, such as %s), but never two.
	p **secret
}

type secret struct {
	text string // as its owner wrote it: the key of X-Webhook-Signature
	key  []byte // the key of webhook-signature
}

// ParseSecret parses a secret as its owner wrote it. After the prefix whsec_ it must be the
// base64 (standard alphabet, with padding) of at least 16 bytes, the key of
// webhook-signature; any other secret is used as its bytes. ParseSecret returns an error,
// which does not show the secret, for an empty one and for a whsec_ that does not decode or
// is too short.
func ParseSecret(s string) (Secret, error) {
	if s == "" {
		return Secret{}, errors.New("the webhook secret is empty")
	}
	encoded, ok := strings.CutPrefix(s, whsecPrefix)
	if !ok {
		return hide(s, []byte(s)), nil
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	// The decoder skips line ends, which other libraries reject.
	if err != nil || strings.ContainsAny(encoded, "\r\n") {
		return Secret{}, errors.New("what follows whsec_ in the webhook secret is not base64 (standard alphabet, with padding)")
	}
	if len(key) < minWhsecBytes {
		return Secret{}, fmt.Errorf("the webhook secret holds %d bytes after whsec_; it needs at least %d", len(key), minWhsecBytes)
	}
	return hide(s, key), nil
}

// ParseSecrets parses one secret, or several separated by commas, the newest first: while a
// secret is being replaced the old one stays in use. Spaces around commas are ignored. The
// error says which secret is wrong, as [ParseSecret] does, or is listed twice.
func ParseSecrets(list string) ([]Secret, error) {
	texts := strings.Split(list, ",")
	if len(texts) == 1 {
		s, err := ParseSecret(list)
		return []Secret{s}, err
	}
	secrets := make([]Secret, len(texts))
	for i, text := range texts {
		texts[i] = strings.TrimSpace(text)
		if first := slices.Index(texts[:i], texts[i]); first >= 0 && texts[i] != "" {
			return nil, fmt.Errorf("secrets %d and %d of %d are the same", first+1, i+1, len(texts))
		}
		var err error
		if secrets[i], err = ParseSecret(texts[i]); err != nil {
			return nil, fmt.Errorf("secret %d of %d: %w", i+1, len(texts), err)
		}
	}
	return secrets, nil
}

// NewSecret makes a secret of 32 random bytes in the whsec_ form.
func NewSecret() Secret {
	key := make([]byte, newKeyBytes)
	rand.Read(key) // never fails: it ends the process instead
	return hide(whsec(key), key)
}

func hide(text string, key []byte) Secret {
	p := &secret{text, key}
	return Secret{&p}
}

// IsZero reports whether s holds no secret.
func (s Secret) IsZero() bool { return s.p == nil }

// Reveal returns the secret as its owner wrote it: the key of X-Webhook-Signature.
func (s Secret) Reveal() string {
	if s.p == nil {
		return ""
	}
	return (*s.p).text
}

// Whsec returns the form that the libraries of Standard Webhooks take. For a plain secret
// it encodes the bytes, since those libraries would base64-decode the plain text and end up
// with another key.
func (s Secret) Whsec() string {
	if s.p == nil {
		return ""
	}
	return whsec((*s.p).key)
}

// Format prints a placeholder, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// String returns a placeholder.
func (Secret) String() string { return redacted }

// GoString returns a placeholder.
func (Secret) GoString() string { return redacted }

// LogValue returns a placeholder.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns a placeholder, so JSON and YAML show it too.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

func whsec(key []byte) string {
	return whsecPrefix + base64.StdEncoding.EncodeToString(key)
}

// Sign returns the four headers of a try: webhook-id, webhook-timestamp, webhook-signature
// and X-Webhook-Signature. The id is the delivery's, the same on every try, and must not
// contain a dot; at is the time of this try. While a secret is being replaced, older are
// those that receivers may still have: webhook-signature holds a signature of each,
// X-Webhook-Signature has room only for that of s. Sign panics on the zero Secret, whose
// signatures anybody could make.
func Sign(s Secret, id string, at time.Time, body []byte, older ...Secret) http.Header {
	seconds := strconv.FormatInt(at.Unix(), 10)
	signatures := signMessage(s, id, seconds, body)
	for _, o := range older {
		signatures += " " + signMessage(o, id, seconds, body)
	}
	return http.Header{ // under their canonical names, as Set would write them
		"Webhook-Id":        {id},
		"Webhook-Timestamp": {seconds},
		"Webhook-Signature": {signatures},
		HeaderBodySignature: {SignBody(s, body)},
	}
}

// SignMessage returns the value of webhook-signature for one secret, as Standard Webhooks
// 1.0.0 defines it: "v1," and the base64 of the HMAC-SHA256 of "id.seconds.body". One
// header can hold the values of several secrets, separated by spaces.
func SignMessage(s Secret, id string, at time.Time, body []byte) string {
	return signMessage(s, id, strconv.FormatInt(at.Unix(), 10), body)
}

// SignBody returns the value of X-Webhook-Signature: "sha256=" and the hex of the
// HMAC-SHA256 of the body. Its key is the secret's text, including whsec_.
func SignBody(s Secret, body []byte) string {
	s.mustHold()
	mac := hmac.New(sha256.New, []byte((*s.p).text))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

func signMessage(s Secret, id, seconds string, body []byte) string {
	s.mustHold()
	mac := hmac.New(sha256.New, (*s.p).key)
	io.WriteString(mac, id+"."+seconds+".")
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (s Secret) mustHold() {
	if s.p == nil {
		panic("ringback: a webhook cannot be signed with the zero Secret")
	}
}

// Verify checks a webhook against the system's clock: one of the signatures in
// webhook-signature must have been made over exactly these bytes with one of the secrets,
// at most 300 s ago. Pass it the body as received, before any parser.
//
// It returns [ErrMissingHeader], [ErrMalformedTimestamp], [ErrTooOld], [ErrTooNew] or
// [ErrNoMatchingSignature]. It does not remember ids: a receiver that must not act twice
// keeps the webhook-id of what it has handled.
func Verify(h http.Header, body []byte, secrets ...Secret) error {
	return VerifyAt(time.Now(), h, body, secrets...)
}

// VerifyAt is [Verify] with the current time given as now.
func VerifyAt(now time.Time, h http.Header, body []byte, secrets ...Secret) error {
	for _, name := range []string{HeaderWebhookID, HeaderWebhookTimestamp, HeaderWebhookSignature} {
		if h.Get(name) == "" {
			return fmt.Errorf("%w: %s", ErrMissingHeader, name)
		}
	}
	id, seconds := h.Get(HeaderWebhookID), h.Get(HeaderWebhookTimestamp)
	if err := checkAge(now, seconds); err != nil {
		return err
	}
	for _, s := range secrets {
		if s.p != nil && holds(h.Get(HeaderWebhookSignature), signMessage(s, id, seconds, body)) {
			return nil
		}
	}
	return ErrNoMatchingSignature
}

// VerifyBody checks only X-Webhook-Signature, for receivers that know no other. It returns
// [ErrMissingHeader] or [ErrNoMatchingSignature]. Since that header covers no time and no
// id, prefer [Verify].
func VerifyBody(h http.Header, body []byte, secrets ...Secret) error {
	signature := h.Get(HeaderBodySignature)
	if signature == "" {
		return fmt.Errorf("%w: %s", ErrMissingHeader, HeaderBodySignature)
	}
	for _, s := range secrets {
		if s.p != nil && hmac.Equal([]byte(signature), []byte(SignBody(s, body))) {
			return nil
		}
	}
	return ErrNoMatchingSignature
}

func checkAge(now time.Time, seconds string) error {
	at, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || at < 0 {
		return ErrMalformedTimestamp
	}
	// In whole seconds, since a time.Duration would overflow for a timestamp far away.
	const tolerance = int64(SignatureTolerance / time.Second)
	switch age := now.Unix() - at; {
	case age > tolerance:
		return ErrTooOld
	case age < -tolerance:
		return ErrTooNew
	}
	return nil
}

// holds reports whether the value of a webhook-signature header, a list separated by
// spaces, contains the signature. It ignores what it does not know (v1a, a future version,
// two spaces).
func holds(header, signature string) bool {
	for s := range strings.SplitSeq(header, " ") {
		if hmac.Equal([]byte(s), []byte(signature)) {
			return true
		}
	}
	return false
}
