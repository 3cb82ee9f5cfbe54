// Package shortage recognizes errors that mean this machine ran out of something: file
// descriptors, memory, buffers or local ports. Such an error says nothing about the other
// side of a connection, so it must not count against a job, a webhook, a provider or a
// receiver.
package shortage

import (
	"errors"
	"net"
	"strings"
	"syscall"
)

// Resource is what ran out.
type Resource string

// The resources.
const (
	Descriptors Resource = "descriptors"
	Memory      Resource = "memory" // of the kernel, for sockets and files
	Ports       Resource = "ports"  // local ports towards one address
)

// All lists the resources.
var All = []Resource{Descriptors, Memory, Ports}

// Of returns which resource an error says this machine ran out of; "" if none.
func Of(err error) Resource {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return of(errno, err)
	}
	if lookUp, ok := errors.AsType[*net.DNSError](err); ok {
		return ofLookUp(lookUp)
	}
	return ""
}

func of(errno syscall.Errno, err error) Resource {
	switch errno {
	case syscall.EMFILE, syscall.ENFILE:
		return Descriptors
	case syscall.ENOMEM, syscall.ENOBUFS:
		return Memory
	case syscall.EADDRNOTAVAIL:
		if portsAreOut(err) {
			return Ports
		}
	}
	return ""
}

// ofLookUp reads the text of a failed lookup of a name: package net keeps no more of its
// cause.
func ofLookUp(err *net.DNSError) Resource {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS} {
		if strings.HasSuffix(err.Err, errno.Error()) {
			return of(errno, err)
		}
	}
	return ""
}

// portsAreOut distinguishes the two meanings of EADDRNOTAVAIL: all local ports towards an
// address are taken, or this machine has no address from which to reach it (for example
// because IPv6 is off), which waiting does not change. UDP has ports of its own, and
// connecting a UDP socket sends nothing.
func portsAreOut(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Addr == nil {
		return false
	}
	conn, err := net.Dial("udp", op.Addr.String())
	if err != nil {
		return Of(err) == Descriptors
	}
	_ = conn.Close()
	return true
}
