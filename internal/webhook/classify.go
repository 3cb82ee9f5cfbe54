package webhook

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/shortage"
)

// failed classifies a try that had no answer. Every sentence is written here: the texts of
// net's errors contain addresses.
func (s *Sender) failed(ctx context.Context, t *try, err error, blocked int) Result {
	if short := shortage.Of(err); short != "" && !t.connected.Load() {
		return Result{Verdict: Unsent, Error: fmt.Sprintf("the server has no %s left to send this", short), Cause: err}
	}
	r := Result{Verdict: Retry, Class: s.classify(ctx, t, err), Cause: err}
	switch r.Class {
	case ringback.TryBlocked:
		r.Error = "callback address is not allowed"
		if blocked >= maxBlocked {
			r.Verdict = Dead
		}
	case ringback.TryDNS:
		r.Error = "the name of the callback host could not be resolved"
	case ringback.TryTimeout:
		r.Error = fmt.Sprintf("the callback host did not answer within %s", s.timeout)
	case ringback.TryTLS:
		r.Error = tlsSentence(err)
	case ringback.TryRefused:
		r.Error = "the callback host refused the connection"
	case ringback.TryConnect:
		r.Error = "the callback host could not be reached"
	case ringback.TryReset:
		r.Error = "the callback host closed the connection before it answered"
	default:
		r.Error = "what the callback host answered is not valid HTTP/1.1"
	}
	return r
}

func (s *Sender) classify(ctx context.Context, t *try, err error) ringback.TryError {
	if _, ok := errors.AsType[*BlockedError](err); ok {
		return ringback.TryBlocked
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return ringback.TryDNS
	}
	if timeout, ok := errors.AsType[net.Error](err); ctx.Err() != nil || ok && timeout.Timeout() {
		return ringback.TryTimeout
	}
	if t.tlsFailed.Load() || errors.Is(err, http.ErrSchemeMismatch) {
		return ringback.TryTLS
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return ringback.TryRefused
	}
	if op, ok := errors.AsType[*net.OpError](err); errors.Is(err, errUnreachable) || ok && op.Op == "dial" {
		return ringback.TryConnect
	}
	if isReset(err) {
		return ringback.TryReset
	}
	return ringback.TryStatus
}

// isReset reports whether the other side closed the connection.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		// net/http has no exported error for a connection that was closed while idle.
		strings.Contains(err.Error(), "server closed idle connection")
}

func tlsSentence(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the certificate of the callback host is not signed by a known authority"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the certificate of the callback host is for another name"
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		return "the certificate of the callback host has expired or is not yet valid"
	}
	return "TLS with the callback host failed; it must offer TLS 1.2 or 1.3 on this port"
}
