package provider

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/protocol"
	"github.com/ringback/ringback/internal/strictjson"
)

// hidden replaces the key in everything that a provider sends.
const hidden = "[key]"

// shortestKey is the length, in bytes, from which a key is redacted: a shorter one may be
// part of any word.
const shortestKey = 4

// redact returns a text without the key.
func (c *Client) redact(text string) string {
	if key := c.key(); len(key) >= shortestKey {
		return strings.ReplaceAll(text, key, hidden)
	}
	return text
}

// redactJSON is redact for JSON, which stays unchanged if it does not contain the key.
func (c *Client) redactJSON(text json.RawMessage) json.RawMessage {
	key := strictjson.Inside(strictjson.Quote(c.key()))
	if len(key) < shortestKey || !bytes.Contains(text, key) {
		return text
	}
	return bytes.ReplaceAll(text, key, []byte(hidden))
}

// redactDeltas passes pieces of an answer on without the key. It does not see a key that is
// split across pieces.
func (c *Client) redactDeltas(to func(ringback.Delta)) func(ringback.Delta) {
	if to == nil {
		return nil
	}
	return func(d ringback.Delta) {
		d.Text = c.redact(d.Text)
		to(d)
	}
}

// redactFrames passes the frames of an answer on without the key.
func (c *Client) redactFrames(to func(protocol.Piece)) func(protocol.Piece) {
	if to == nil {
		return nil
	}
	return func(p protocol.Piece) {
		p.JSON = c.redactJSON(p.JSON)
		to(p)
	}
}

// quotesKey reports whether the key is in a string of a value, however it is escaped.
func (c *Client) quotesKey(value gjson.Result) bool {
	key := c.key()
	if len(key) < shortestKey {
		return false
	}
	if !value.IsObject() && !value.IsArray() {
		return strings.Contains(value.String(), key)
	}
	found := false
	value.ForEach(func(name, item gjson.Result) bool {
		found = strings.Contains(name.Str, key) || c.quotesKey(item)
		return !found
	})
	return found
}
