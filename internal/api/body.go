package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/memory"
)

// A sender may be slow, but not silent: a body may take bodyGrace and, on top, a second for
// each slowestRate bytes that have arrived.
const (
	bodyGrace   = 30 * time.Second
	slowestRate = 32 << 10 // bytes a second
	bodyChunk   = 256 << 10
)

// bodyCost is how many bytes of memory each byte of a body takes at most, until its job is
// stored: the text, what is decoded from it, the provider's request, its compressed form,
// and the store's copy. TestARequestOfAnyShapeTakesLittleMemoryAndTime measures it.
const bodyCost = 4

// charsets are the names of UTF-8, and of its ASCII part.
var charsets = []string{"utf-8", "utf8", "us-ascii", "ascii"}

// byteOrderMark is what some programs write at the beginning of UTF-8.
const byteOrderMark = "\uFEFF"

// jsonOnly refuses bodies of other types.
func jsonOnly(h http.Header) error {
	given := h.Get("Content-Type")
	mediaType, params, err := mime.ParseMediaType(given)
	if err != nil { // perhaps in its parameters, which do not matter
		mediaType, _, _ = strings.Cut(given, ";")
	}
	charset := strings.ToLower(params["charset"])
	switch {
	case !strings.EqualFold(strings.TrimSpace(mediaType), "application/json"):
		return &ringback.Error{Code: ringback.UnsupportedMediaType, Message: "send JSON, with Content-Type: application/json"}
	case charset != "" && !slices.Contains(charsets, charset):
		return &ringback.Error{Code: ringback.UnsupportedMediaType, Message: "send JSON as UTF-8, with Content-Type: application/json"}
	case h.Get("Content-Encoding") != "" && !strings.EqualFold(h.Get("Content-Encoding"), "identity"):
		return &ringback.Error{Code: ringback.UnsupportedMediaType, Message: "send the body uncompressed, without Content-Encoding"}
	}
	return nil
}

// A bodyReader reads one body, within a pool of memory and a time limit that grows with what
// has arrived.
type bodyReader struct {
	in       io.Reader
	most     int64
	pool     *memory.Pool
	full     func() error          // the error if there is no room in the pool
	deadline func(time.Time) error // of the connection's reads
	grace    time.Duration
	start    time.Time

	text  []byte
	grant *memory.Grant
}

// readBody reads the body of r. The caller must call release when it no longer needs the
// body, even after an error.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) (body []byte, release func(), err error) {
	b := &bodyReader{
		in: r.Body, most: min(s.maxBody, s.bodies.Largest()/bodyCost), pool: s.bodies, grant: s.bodies.Grant(), full: s.node.NoRoomForBody,
		deadline: http.NewResponseController(w).SetReadDeadline,
		grace:    s.bodyGrace, start: time.Now(),
	}
	if r.ContentLength > b.most {
		return nil, b.grant.Release, b.tooLarge()
	}
	if err := b.read(r.ContentLength); err != nil {
		return nil, b.grant.Release, err
	}
	return bytes.TrimPrefix(b.text, []byte(byteOrderMark)), b.grant.Release, nil
}

// The body of a refused request is still read, up to these limits, and discarded: to a
// client that is still sending, a closed connection is a broken pipe, and the refusal,
// which says when to retry, is lost.
const (
	passOverBytes = 64 << 20
	passOverFor   = 5 * time.Second
)

func passOver(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Expect") != "" {
		return // it waits to be told to send
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(passOverFor)) // a recorder in a test has none
	_, _ = io.CopyN(io.Discard, r.Body, passOverBytes)
}

// read reads all of in, whose length is -1 if unknown. Only the first chunk is charged
// before it has arrived: a length that is merely announced takes no room from others. One
// byte more than necessary is allocated, so that the end of the body shows.
func (b *bodyReader) read(length int64) error {
	if length > bodyChunk { // otherwise the first buffer holds all of it
		if err := b.fits(length); err != nil {
			return err
		}
	}
	first := int64(bodyChunk)
	if length >= 0 {
		first = min(first, length)
	}
	if err := b.grow(first + 1); err != nil {
		return err
	}
	for extended := 0; ; {
		room := b.text[len(b.text):min(cap(b.text), len(b.text)+bodyChunk)]
		n, err := b.in.Read(room)
		b.text = b.text[:len(b.text)+n]
		switch {
		case int64(len(b.text)) > b.most:
			return b.tooLarge()
		case err == io.EOF:
			return nil
		case err != nil:
			return b.broken(err)
		}
		if len(b.text) == cap(b.text) {
			if err := b.grow(b.next(length)); err != nil {
				return err
			}
		}
		if len(b.text)-extended >= bodyChunk {
			extended = len(b.text)
			b.extend()
		}
	}
}

// fits refuses at once a body that there is no room for now.
func (b *bodyReader) fits(length int64) error {
	if !b.pool.Take(length * bodyCost) {
		return b.full()
	}
	b.pool.Give(length * bodyCost)
	return nil
}

// next returns the size of the buffer that follows a full one: that of the whole body, if
// its length is known.
func (b *bodyReader) next(length int64) int64 {
	if size := int64(cap(b.text)); length < size {
		return 2 * size
	}
	return length + 1
}

// grow makes the buffer size bytes in total, once the pool allows it.
func (b *bodyReader) grow(size int64) error {
	size = min(size, b.most+1)
	if !b.grant.Take(size*bodyCost - b.grant.Taken()) {
		return b.full()
	}
	b.text = append(make([]byte, 0, size), b.text...)
	return nil
}

func (b *bodyReader) extend() {
	earned := time.Duration(len(b.text)) * time.Second / slowestRate
	_ = b.deadline(b.start.Add(b.grace + earned)) // a connection without deadlines is a test's
}

func (b *bodyReader) tooLarge() error {
	return &ringback.Error{Code: ringback.TooLarge, Message: fmt.Sprintf("the body is larger than %d bytes", b.most)}
}

func (b *bodyReader) broken(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ringback.Invalid("", "the body came too slowly; send it in one go")
	}
	return ringback.Invalid("", "the body ended early; send as many bytes as Content-Length says")
}
