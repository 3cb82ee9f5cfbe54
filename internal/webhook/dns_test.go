package webhook

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// fakeDNS is a name server in this process that speaks DNS over pipes.
type fakeDNS struct {
	mu    sync.Mutex
	names map[string][]answer // by name without the root dot; the last answer is repeated
}

// answer is the name server's answer to one lookup.
type answer struct {
	cname string
	addrs []netip.Addr
}

func newFakeDNS(names map[string][]answer) *fakeDNS { return &fakeDNS{names: names} }

func (f *fakeDNS) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go f.serve(server) // ends when the resolver closes its end
		return client, nil
	}}
}

// silentDNS returns a resolver whose name server never answers, until the test ends. (A
// cancelled lookup leaves goroutines behind until its server answers or its own timeout
// ends.)
func silentDNS(t *testing.T) *net.Resolver {
	ctx := t.Context()
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		client, server := net.Pipe()
		context.AfterFunc(ctx, func() { server.Close() })
		return client, nil
	}}
}

func (f *fakeDNS) serve(c net.Conn) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, query); err != nil {
			return
		}
		reply := f.reply(query)
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}

func (f *fakeDNS) reply(query []byte) []byte {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil {
		panic(err)
	}
	q, err := p.Question()
	if err != nil {
		panic(err)
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, RecursionAvailable: true},
		Questions: []dnsmessage.Question{q},
	}
	a, known := f.next(strings.ToLower(strings.TrimSuffix(q.Name.String(), ".")), q.Type)
	if !known {
		m.RCode = dnsmessage.RCodeNameError
	}
	owner := q.Name
	if a.cname != "" {
		owner = dnsmessage.MustNewName(a.cname + ".")
		m.Answers = append(m.Answers, resource(q.Name, &dnsmessage.CNAMEResource{CNAME: owner}))
	}
	for _, addr := range a.addrs {
		switch {
		case addr.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, resource(owner, &dnsmessage.AResource{A: addr.As4()}))
		case addr.Is6() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, resource(owner, &dnsmessage.AAAAResource{AAAA: addr.As16()}))
		}
	}
	packed, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return packed
}

// next returns the answer that is due. A lookup asks for A and for AAAA; the one for A uses
// it up.
func (f *fakeDNS) next(name string, kind dnsmessage.Type) (answer, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list, known := f.names[name]
	if !known {
		return answer{}, false
	}
	if kind == dnsmessage.TypeA && len(list) > 1 {
		f.names[name] = list[1:]
	}
	return list[0], true
}

func resource(name dnsmessage.Name, body dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: 1}, Body: body}
}
