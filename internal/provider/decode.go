package provider

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// decoded undoes the encodings in a body's header. We ask for none, since compression holds
// back small pieces, but some servers compress anyway. The reader of the result bounds it.
func decoded(header http.Header, body io.Reader) io.Reader {
	values := header["Content-Encoding"]
	if len(values) == 0 {
		return body
	}
	names := strings.Split(strings.ToLower(strings.Join(values, ",")), ",")
	for _, name := range slices.Backward(names) { // the last one was applied last
		if begin := encodings[strings.TrimSpace(name)]; begin != nil {
			body = &decoder{begin: begin, encoded: bufio.NewReaderSize(body, 2<<10)}
		}
	}
	return body
}

// encodings are the known ones. All others are treated as mistakes of servers, such as
// "none" or "utf-8".
var encodings = map[string]func(encoded *bufio.Reader) (io.Reader, error){
	"gzip":    gunzip,
	"x-gzip":  gunzip,
	"deflate": inflate,
	"zstd":    unzstd,
	"br":      func(encoded *bufio.Reader) (io.Reader, error) { return brotli.NewReader(encoded), nil },
}

// encodingOf recognizes an encoding that no header names by the first bytes of a body; nil
// if there is none. It never matches text.
func encodingOf(head []byte) func(encoded *bufio.Reader) (io.Reader, error) {
	switch {
	case len(head) > 0 && head[0] == 0x1f:
		return gunzip
	case bytes.HasPrefix(head, []byte{0x28, 0xb5}):
		return unzstd
	}
	return nil
}

// decoder undoes one encoding. It begins with the first read, since it has to inspect bytes
// that may take long to arrive.
type decoder struct {
	begin   func(encoded *bufio.Reader) (io.Reader, error)
	encoded *bufio.Reader
	plain   io.Reader
	err     error // of begin
}

func (d *decoder) Read(p []byte) (int, error) {
	if d.plain == nil && d.err == nil {
		d.plain, d.err = d.begin(d.encoded)
	}
	if d.err != nil {
		return 0, d.err
	}
	return d.plain.Read(p)
}

// beginsWith reports whether the body begins with the magic bytes of an encoding. A proxy
// may have undone the encoding and left its name.
func beginsWith(encoded *bufio.Reader, magic ...byte) bool {
	head, _ := encoded.Peek(len(magic))
	return bytes.Equal(head, magic)
}

func gunzip(encoded *bufio.Reader) (io.Reader, error) {
	if !beginsWith(encoded, 0x1f, 0x8b) {
		return encoded, nil
	}
	return &gzipMembers{encoded: encoded}, nil
}

func unzstd(encoded *bufio.Reader) (io.Reader, error) {
	const maxWindow = 8 << 20 // what RFC 9659 allows
	if !beginsWith(encoded, 0x28, 0xb5, 0x2f, 0xfd) {
		return encoded, nil
	}
	// With a concurrency of one it has no goroutines, so nothing needs to be closed.
	return zstd.NewReader(encoded, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
}

// inflate undoes deflate, which is zlib's form; some servers leave its header out.
func inflate(encoded *bufio.Reader) (io.Reader, error) {
	const method, maxWindow = 8, 7 // as in zlib's header
	head, err := encoded.Peek(2)
	if len(head) < 2 {
		return nil, err
	}
	if head[0]&0xf == method && head[0]>>4 <= maxWindow && (uint(head[0])<<8|uint(head[1]))%31 == 0 {
		return zlib.NewReader(encoded)
	}
	return flate.NewReader(encoded), nil
}

// gzipMembers reads one gzip member after another. gzip.Reader does so itself, but looks
// for the next one before it returns the end of the last.
type gzipMembers struct {
	encoded *bufio.Reader
	member  *gzip.Reader
	over    bool // the member
}

func (g *gzipMembers) Read(p []byte) (n int, err error) {
	if err := g.next(); err != nil {
		return 0, err
	}
	n, err = g.member.Read(p)
	if errors.Is(err, io.EOF) {
		g.over, err = true, nil
	}
	return n, err
}

// next begins the next member where the last one is over.
func (g *gzipMembers) next() (err error) {
	switch {
	case g.member == nil:
		g.member, err = gzip.NewReader(g.encoded)
	case g.over:
		err = g.member.Reset(g.encoded)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	g.over = false
	g.member.Multistream(false)
	return nil
}
