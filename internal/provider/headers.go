package provider

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/ringback/ringback/internal/protocol"
)

// HeaderNames are the headers that every request may pass on to its provider, in
// lower case.
var HeaderNames = []string{"anthropic-beta", "anthropic-version", "openai-beta", "openai-organization", "openai-project"}

// maxHeaderValue bounds the value of one such header, in bytes.
const maxHeaderValue = 2 << 10

var isVersion = regexp.MustCompile(`^20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$`)

// checkVersion checks the version that a provider is called with.
func checkVersion(version, dialect string) error {
	switch {
	case version == "":
		return nil
	case dialect != "anthropic":
		return fmt.Errorf("is for providers of the protocol anthropic; this one speaks %s", dialect)
	case !isVersion.MatchString(version):
		return fmt.Errorf("%q is not a version; write the day of one, like %s", version, protocol.DefaultAnthropicVersion)
	}
	return nil
}

// notPassedOn are headers that no configuration may let through: those of the connection
// and of the message, those that carry credentials, and those that Ringback itself reads or
// sends. A name that ends in * is a prefix.
var notPassedOn = []string{
	"host", "content-*", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect", "keep-alive", "proxy-*", "http2-settings",
	"authorization", "cookie", "set-cookie", "x-api-key", "api-key", "x-goog-api-key", "x-auth-*", "x-amz-security-token",
	"user-agent", "accept", "accept-*", "origin", "prefer", "idempotency-key", "x-idempotency-key", "x-request-id", "x-callback-url",
	"traceparent", "tracestate", "forwarded", "x-forwarded-*",
}

// CheckHeaderName returns why a configuration may not let requests pass on a header; nil if
// it may.
func CheckHeaderName(name string) error {
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return fmt.Errorf("%q is not the name of a header", name)
	case isNotPassedOn(name):
		return fmt.Errorf("%s cannot be passed on: it belongs to the connection, carries a credential, or is Ringback's own", strings.ToLower(name))
	}
	return nil
}

func isNotPassedOn(name string) bool {
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-") // some servers treat them as the same
	return slices.ContainsFunc(notPassedOn, func(n string) bool {
		if prefix, ok := strings.CutSuffix(n, "*"); ok {
			return strings.HasPrefix(name, prefix)
		}
		return name == n
	})
}

// A HeaderError is about one header of a request.
type HeaderError struct {
	Name string
	err  error
}

// Error returns one sentence for the API's user.
func (e *HeaderError) Error() string { return e.err.Error() }

// CheckHeaders checks the headers that a request passes on, and returns them with
// their names in lower case. allowed are the names that may be there.
func CheckHeaders(given map[string]string, allowed []string) (map[string]string, *HeaderError) {
	if len(given) == 0 {
		return nil, nil
	}
	checked := make(map[string]string, len(given))
	for _, written := range slices.Sorted(maps.Keys(given)) {
		name, value := strings.ToLower(written), given[written]
		err := checkValue(value)
		if _, twice := checked[name]; twice {
			err = errors.New("is given twice; header names are not case-sensitive")
		}
		if !slices.Contains(allowed, name) {
			err = fmt.Errorf("is not a header that may be passed on to the provider; allowed are %s", strings.Join(allowed, ", "))
		}
		if err != nil {
			return nil, &HeaderError{written, err}
		}
		checked[name] = value
	}
	return checked, nil
}

func checkValue(value string) error {
	switch {
	case strings.TrimSpace(value) == "":
		return errors.New("is empty; leave it out instead")
	case len(value) > maxHeaderValue:
		return fmt.Errorf("must have at most %d bytes", maxHeaderValue)
	case !httpguts.ValidHeaderFieldValue(value):
		return errors.New("must hold no control characters")
	}
	return nil
}

// setHeaders replaces the provider's own headers with the request's.
func setHeaders(to http.Header, headers map[string]string) {
	for name, value := range headers {
		to.Set(name, value)
	}
}
