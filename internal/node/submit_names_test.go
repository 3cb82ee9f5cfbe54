package node_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/webhook"
)

// inside returns a resolver that resolves every name to 10.1.2.3.
func inside() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go answerInside(server) // ends when the resolver closes its end
		return client, nil
	}}
}

func answerInside(c net.Conn) {
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
		var m dnsmessage.Message
		if m.Unpack(query) != nil {
			return
		}
		m.Response, m.Additionals = true, nil
		if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 1},
				Body:   &dnsmessage.AResource{A: [4]byte{10, 1, 2, 3}},
			}}
		}
		reply, err := m.Pack()
		if err != nil {
			return
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}

func TestANameThatLeadsInsideIsRefusedWithItsRequest(t *testing.T) {
	w := start(t, setup{node: func(c *node.Config) {
		guard, err := webhook.NewGuard(webhook.GuardConfig{Resolver: inside()})
		must(t, err)
		c.Guard = guard
	}})
	none := []ringback.EventType{}
	for field, r := range map[string]ringback.Request{
		"callback_url": {CallbackURL: "https://inside.example/hook"},
		"stream_to":    {StreamTo: "wss://inside.example/events", Events: &none},
	} {
		_, err := w.try(r)
		e := fault(t, err, ringback.InvalidRequest)
		if want := "inside.example leads to a private address; the operator can open it with --allow-callback"; e.Message != want || e.Field != field {
			t.Errorf("%s: got %q on %q, want %q", field, e.Message, e.Field, want)
		}
	}
}
