package provider

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/ringback/ringback/internal/sse"
)

// reasonSuffix returns the end of a sentence about a broken connection.
func reasonSuffix(err error) string {
	if reason := connectionReason(err); reason != "" {
		return ": " + reason
	}
	return ""
}

// connectionReason returns what went wrong with a connection, without an address; "" if
// unknown.
func connectionReason(err error) string {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "its host name does not resolve"
	}
	if reason := tlsReason(err); reason != "" {
		return reason
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "the connection was refused"
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	for _, plain := range []error{errEnded, sse.ErrCut, io.ErrUnexpectedEOF, context.DeadlineExceeded} {
		if errors.Is(err, plain) {
			return plain.Error()
		}
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return "it does not answer"
	}
	if errors.Is(err, io.EOF) {
		return "it was closed"
	}
	return ""
}

// tlsReason returns what is wrong with a provider's TLS, "" if nothing is.
func tlsReason(err error) string {
	const untrusted = "its TLS certificate is not trusted"
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return untrusted + ": it has expired or is not yet valid"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return untrusted + ": it is signed by an unknown authority"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return untrusted + ": it is for another host"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return untrusted
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "it does not speak TLS"
	}
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		return alert.Error()
	}
	return ""
}
