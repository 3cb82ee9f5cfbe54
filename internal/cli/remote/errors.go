package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
)

// Explain turns an error of a call into an *exit.Error that says what to do.
func (s *Session) Explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*exit.Error](err); ok {
		return err
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return exit.Errorf(exit.Interrupted, "interrupted")
	}
	if e, ok := errors.AsType[*ringback.Error](err); ok {
		return s.refused(e)
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		return s.unreachable(e.Err)
	}
	return err
}

// refused explains an error response of the server.
func (s *Session) refused(e *ringback.Error) error {
	message := plain.Printable(e.Message)
	switch e.Code {
	case ringback.Unauthorized:
		if s.hasKey {
			return exit.Errorf(exit.Auth, "%s refused the API key: %s; correct RINGBACK_API_KEY", s.url, message)
		}
		return exit.Errorf(exit.Auth, "%s requires an API key; set RINGBACK_API_KEY to the server's key", s.url)
	case ringback.Forbidden, ringback.Misdirected:
		return exit.Errorf(exit.Auth, "%s: %s", s.url, message)
	case ringback.NotFound, ringback.Gone:
		return exit.Errorf(exit.NotFound, "%s", message)
	case ringback.InvalidRequest, ringback.TooLarge, ringback.HeadersTooLarge, ringback.UnsupportedMediaType, ringback.IdempotencyMismatch:
		if e.Field != "" && !strings.Contains(message, e.Field) {
			message = plain.Printable(e.Field) + ": " + message
		}
		return exit.Errorf(exit.Usage, "%s", message)
	case ringback.Unavailable, ringback.RateLimited:
		again := ""
		if e.RetryAfterSeconds > 0 {
			again = fmt.Sprintf("; try again in %d s", e.RetryAfterSeconds)
		}
		return exit.Errorf(exit.Unavailable, "%s: %s%s", s.url, message, again)
	default:
		return exit.Errorf(exit.Failure, "%s", message)
	}
}

// unreachable explains why there was no response.
func (s *Session) unreachable(err error) error {
	const another = "to use another server, set --url or RINGBACK_URL"
	dns, noName := errors.AsType[*net.DNSError](err)
	var certificate *tls.CertificateVerificationError
	netErr, _ := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return exit.Errorf(exit.Unavailable, "no server listens at %s; start one with: ringback serve (or ringback serve --simulate, which needs no key); %s", s.url, another)
	case noName:
		return exit.Errorf(exit.Unavailable, "%s cannot be reached: there is no host %s; %s", s.url, dns.Name, another)
	case errors.As(err, &certificate):
		return exit.Errorf(exit.Unavailable, "%s: its certificate is not trusted: %w", s.url, certificate.Err)
	case netErr != nil && netErr.Timeout():
		return exit.Errorf(exit.Unavailable, "%s does not respond in time; %s", s.url, another)
	}
	return exit.Errorf(exit.Unavailable, "%s: %s; %s", s.url, plain.Printable(err.Error()), another)
}

// IsTransient reports whether an error may go away on another try.
func IsTransient(err error) bool {
	if e, ok := errors.AsType[*ringback.Error](err); ok {
		return e.Code == ringback.Unavailable || e.Code == ringback.RateLimited
	}
	_, onTheWay := errors.AsType[*url.Error](err)
	return onTheWay
}
