package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/ringback/ringback"
)

// MaxDepth is how deep objects and arrays of a body may be nested.
const MaxDepth = 500

// ErrTooDeep is returned for JSON that is nested deeper than [MaxDepth].
var ErrTooDeep = errors.New("JSON is nested too deep")

// Body gives an event as the bytes of a webhook: its JSON, made canonical. It
// returns what encoding/json and [Canonical] return.
//
// The result and the response, which may be large, are put into their places at the end,
// so that each is copied once; the response is made canonical by itself, since
// encoding/json would check it first, byte by byte.
func Body(e ringback.Event) ([]byte, error) {
	response, result := e.Response, e.Result
	e.Response = json.RawMessage("0")
	if result != nil {
		e.Result = new("")
	}
	enc := encoders.Get().(*encoder)
	defer enc.leave()
	event, err := enc.canonical(&e)
	if err != nil {
		return nil, err
	}
	if len(response) > 0 {
		if response, err = canonicalAt(response, 1); err != nil {
			return nil, err
		}
	}
	// No string holds these bytes, since its quotes are escaped; no object comes before them.
	before, after, _ := bytes.Cut(event, []byte(`"response":0,`))
	body := make([]byte, 0, len(event)+sizeQuoted(result)+len(response))
	if body = append(body, before...); result != nil { // the member before it
		body = append(appendQuoted(body[:len(body)-len(`"",`)], *result), ',')
	}
	if len(response) > 0 {
		body = append(append(append(body, `"response":`...), response...), ',')
	}
	return append(body, after...), nil
}

// An encoder writes JSON to memory that it uses again.
type encoder struct {
	out  bytes.Buffer
	json *json.Encoder
}

var encoders = sync.Pool{New: func() any {
	e := new(encoder)
	e.json = json.NewEncoder(&e.out)
	e.json.SetEscapeHTML(false)
	return e
}}

// leave puts the encoder back, unless its memory has become large.
func (e *encoder) leave() {
	const kept = 64 << 10 // bytes
	if e.out.Cap() <= kept {
		encoders.Put(e)
	}
}

// canonical gives v in bytes that hold until it is called again.
func (e *encoder) canonical(v any) ([]byte, error) {
	e.out.Reset()
	if err := e.json.Encode(v); err != nil {
		return nil, fmt.Errorf("encode webhook body: %w", err)
	}
	return Canonical(e.out.Bytes())
}

// Canonical rewrites JSON to the bytes that JavaScript would write, so that
// JSON.stringify(JSON.parse(body)) === body: many a receiver verifies over the
// body that its framework has parsed and it has written again.
//
//   - No space between tokens.
//   - Strings are raw UTF-8, U+2028 and U+2029 too; only " and \ and control
//     characters are escaped (\b \t \n \f \r, else \u00xx), and lone halves of a
//     surrogate pair (\ud83d), in lower-case hex. Bytes that are not UTF-8 become
//     U+FFFD.
//   - Numbers are the shortest that read back the same: 1.0 is 1, -0 is 0, 1E-7
//     is 1e-7.
//   - Of members with the same name the first keeps its place and the last its
//     value.
//
// Three things stay as they are although JavaScript would change them, since it
// would lose information: integers of any length written without point and
// exponent, numbers too large for a double, and the place of members whose names
// are integers (JavaScript moves those to the front).
//
// Canonical reads raw once and keeps nothing of it decoded. Where nothing is to be
// changed it returns raw itself, or its beginning. It returns an error for what is
// not JSON, and [ErrTooDeep].
func Canonical(raw []byte) ([]byte, error) { return canonicalAt(raw, 0) }

// canonicalAt is Canonical for a value that stands depth deep in others.
func canonicalAt(raw []byte, depth int) ([]byte, error) {
	c := canonical{in: raw, depth: depth, members: make([]member, 0, usualMembers)}
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

// canonical reads in at pos and writes to an output that is, as long as nothing
// was changed, simply the first n bytes of in.
type canonical struct {
	in      []byte
	pos     int
	out     []byte
	n       int
	changed bool
	depth   int
	members []member // of all objects that are open, the innermost last
	scratch [8]byte  // of the escape being read
}

// bytes gives the output so far.
func (c *canonical) bytes() []byte {
	if c.changed {
		return c.out
	}
	return c.in[:c.n:c.n]
}

// size is the length of the output so far.
func (c *canonical) size() int {
	if c.changed {
		return len(c.out)
	}
	return c.n
}

// keep writes in[from:to].
func (c *canonical) keep(from, to int) {
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

// write writes what in does not hold.
func (c *canonical) write(b []byte) {
	c.change()
	c.out = append(c.out, b...)
}

// change gives the output bytes of its own.
func (c *canonical) change() {
	if !c.changed {
		// The rest is seldom longer than it was: only bytes that are not UTF-8 and
		// numbers such as 1e20 grow.
		c.out = append(make([]byte, 0, len(c.in)), c.in[:c.n]...)
		c.changed = true
	}
}

func (c *canonical) value() error {
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

func (c *canonical) nested(read func() error) error {
	if c.depth == MaxDepth {
		return ErrTooDeep
	}
	c.depth++
	c.token() // the bracket
	err := read()
	c.depth--
	return err
}

func (c *canonical) array() error {
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

func (c *canonical) literal(word string) error {
	if !bytes.HasPrefix(c.in[c.pos:], []byte(word)) {
		return c.unexpected()
	}
	c.keep(c.pos, c.pos+len(word))
	c.pos += len(word)
	return nil
}

// token writes the one byte that comes next.
func (c *canonical) token() {
	c.keep(c.pos, c.pos+1)
	c.pos++
}

func (c *canonical) at(b byte) bool { return c.pos < len(c.in) && c.in[c.pos] == b }

func (c *canonical) space() {
	for c.pos < len(c.in) {
		switch c.in[c.pos] {
		case ' ', '\t', '\n', '\r':
			c.pos++
		default:
			return
		}
	}
}

// unexpected says where reading ended; it quotes nothing, since bodies are logged
// nowhere.
func (c *canonical) unexpected() error {
	if c.pos >= len(c.in) {
		return errors.New("unexpected end of JSON")
	}
	return fmt.Errorf("unexpected byte at offset %d", c.pos)
}
