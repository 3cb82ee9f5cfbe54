package webhook

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const (
	// MaxHeaders is how many headers Headers accepts.
	MaxHeaders     = 10
	maxHeaderBytes = 8 << 10
)

// reserved are the names that callback_headers may not contain; one that ends in * is a
// prefix.
var reserved = []string{
	// Those of the connection or of the message.
	"host", "content-*", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect", "keep-alive", "proxy-*", "http2-settings",
	// Those that we set.
	"user-agent", "webhook-*", "x-webhook-*", "x-forwarded-*",
	// With these net/http would silently repeat a POST.
	"idempotency-key", "x-idempotency-key",
	// Those that open a cloud's metadata service.
	"metadata", "metadata-flavor", "x-google-metadata-request", "x-aws-ec2-metadata-token*",
}

// Headers checks callback_headers and returns them as they will be sent. The text of an
// error is one sentence for the API's user that names the header.
func Headers(in map[string]string) (http.Header, error) {
	if len(in) == 0 {
		return http.Header{}, nil
	}
	if len(in) > MaxHeaders {
		return nil, fmt.Errorf("callback_headers must hold at most %d headers", MaxHeaders)
	}
	out, size := make(http.Header, len(in)), 0
	for _, name := range slices.Sorted(maps.Keys(in)) {
		value := in[name]
		if err := checkHeader(name, value); err != nil {
			return nil, err
		}
		if out.Values(name) != nil {
			return nil, fmt.Errorf("callback_headers must hold %s only once", http.CanonicalHeaderKey(name))
		}
		out.Set(name, value)
		size += len(name) + len(value)
	}
	if size > maxHeaderBytes {
		return nil, fmt.Errorf("callback_headers must be at most %d bytes in all", maxHeaderBytes)
	}
	return out, nil
}

// HeadersOf returns callback_headers as they are sent. It returns none if they are invalid:
// another version checked them at submission.
func HeadersOf(in map[string]string) http.Header {
	out, err := Headers(in)
	if err != nil {
		return http.Header{}
	}
	return out
}

func checkHeader(name, value string) error {
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return fmt.Errorf("callback_headers: %q is not a valid header name", name)
	case !httpguts.ValidHeaderFieldValue(value):
		return fmt.Errorf("callback_headers: the value of %s must hold no control characters", name)
	case isReserved(name):
		return fmt.Errorf("callback_headers must not hold %s: it is reserved", name)
	}
	return nil
}

func isReserved(name string) bool {
	// For CGI and WSGI, _ and - are the same.
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	return slices.ContainsFunc(reserved, func(r string) bool {
		if prefix, ok := strings.CutSuffix(r, "*"); ok {
			return strings.HasPrefix(name, prefix)
		}
		return name == r
	})
}
