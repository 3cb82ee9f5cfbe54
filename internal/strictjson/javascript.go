package strictjson

import (
	"bytes"
	"errors"
	"fmt"
)

// MaxJavaScriptDepth is how deeply objects and arrays may be nested in what [JavaScript]
// rewrites.
const MaxJavaScriptDepth = 500

// ErrTooDeep is returned for JSON nested deeper than [MaxJavaScriptDepth].
var ErrTooDeep = errors.New("JSON is nested too deep")

// JavaScript rewrites JSON to the bytes that JavaScript would write, so that
// JSON.stringify(JSON.parse(body)) === body: many receivers verify a body that their
// framework has parsed and they have written again.
//
//   - No space between tokens.
//   - Strings are raw UTF-8, including U+2028 and U+2029; only ", \ and control characters
//     are escaped (\b \t \n \f \r, otherwise \u00xx), and lone halves of a surrogate pair
//     (\ud83d), in lower-case hex. Bytes that are not UTF-8 become U+FFFD.
//   - Numbers are the shortest that read back the same: 1.0 is 1, -0 is 0, 1E-7 is 1e-7.
//   - Of members with the same name the first keeps its place and the last its value.
//
// Three things stay unchanged although JavaScript would change them, since it would lose
// information: integers of any length written without point and exponent, numbers too large
// for a double, and the place of members whose names are integers (JavaScript moves those
// to the front).
//
// JavaScript reads raw once and keeps nothing of it decoded. If nothing has to be changed
// it returns raw itself, or its beginning. It returns an error for anything that is not
// JSON, and [ErrTooDeep].
func JavaScript(raw []byte) ([]byte, error) { return JavaScriptAt(raw, 0) }

// JavaScriptAt is [JavaScript] for a value that is nested depth levels deep in others.
func JavaScriptAt(raw []byte, depth int) ([]byte, error) {
	c := javaScript{in: raw, depth: depth, members: make([]javaScriptMember, 0, usualEventMembers)}
	c.space()
	if err := c.value(); err != nil {
		return nil, fmt.Errorf("canonical JSON: %w", err)
	}
	c.space()
	if c.pos != len(raw) {
		return nil, fmt.Errorf("canonical JSON: %w", c.unexpected())
	}
	return c.bytes(), nil
}

// javaScript reads in at pos and writes to an output that is simply the first n bytes of
// in, as long as nothing has been changed.
type javaScript struct {
	in      []byte
	pos     int
	out     []byte
	n       int
	changed bool
	depth   int
	members []javaScriptMember // of all objects that are open, the innermost last
	scratch [8]byte            // of the escape being read
}

// bytes returns the output so far.
func (c *javaScript) bytes() []byte {
	if c.changed {
		return c.out
	}
	return c.in[:c.n:c.n]
}

// size returns the length of the output so far.
func (c *javaScript) size() int {
	if c.changed {
		return len(c.out)
	}
	return c.n
}

// keep writes in[from:to].
func (c *javaScript) keep(from, to int) {
	switch {
	case c.changed:
		c.out = append(c.out, c.in[from:to]...)
	case from == c.n:
		c.n = to
	case from < to:
		c.change()
		c.out = append(c.out, c.in[from:to]...)
	}
}

// write writes bytes that are not in the input.
func (c *javaScript) write(b []byte) {
	c.change()
	c.out = append(c.out, b...)
}

// change makes the output a copy of what was read so far, so that it can differ.
func (c *javaScript) change() {
	if !c.changed {
		// The rest is seldom longer than before: only bytes that are not UTF-8 and numbers
		// such as 1e20 grow.
		c.out = append(make([]byte, 0, len(c.in)), c.in[:c.n]...)
		c.changed = true
	}
}

func (c *javaScript) value() error {
	if c.pos == len(c.in) {
		return c.unexpected()
	}
	switch b := c.in[c.pos]; b {
	case '{':
		return c.nested(c.object)
	case '[':
		return c.nested(c.array)
	case '"':
		return c.quoted()
	case 't':
		return c.literal("true")
	case 'f':
		return c.literal("false")
	case 'n':
		return c.literal("null")
	default:
		return c.number()
	}
}

func (c *javaScript) nested(read func() error) error {
	if c.depth == MaxJavaScriptDepth {
		return ErrTooDeep
	}
	c.depth++
	c.token() // the bracket
	err := read()
	c.depth--
	return err
}

func (c *javaScript) array() error {
	c.space()
	if c.at(']') {
		c.token()
		return nil
	}
	for {
		c.space()
		if err := c.value(); err != nil {
			return err
		}
		c.space()
		switch {
		case c.at(','):
			c.token()
		case c.at(']'):
			c.token()
			return nil
		default:
			return c.unexpected()
		}
	}
}

func (c *javaScript) literal(word string) error {
	if !bytes.HasPrefix(c.in[c.pos:], []byte(word)) {
		return c.unexpected()
	}
	c.keep(c.pos, c.pos+len(word))
	c.pos += len(word)
	return nil
}

// token writes the next byte.
func (c *javaScript) token() {
	c.keep(c.pos, c.pos+1)
	c.pos++
}

func (c *javaScript) at(b byte) bool { return c.pos < len(c.in) && c.in[c.pos] == b }

func (c *javaScript) space() {
	for c.pos < len(c.in) {
		switch c.in[c.pos] {
		case ' ', '\t', '\n', '\r':
			c.pos++
		default:
			return
		}
	}
}

// unexpected returns the error for where reading ended; it quotes nothing, since bodies are
// never logged.
func (c *javaScript) unexpected() error {
	if c.pos >= len(c.in) {
		return errors.New("unexpected end of JSON")
	}
	return fmt.Errorf("unexpected byte at offset %d", c.pos)
}
