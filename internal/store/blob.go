package store

import (
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Blob is content as it is stored: compressed from 1 KiB up. Callers pack content before
// the move, so that no transaction waits for a compressor. The zero Blob is no content.
type Blob struct {
	Bytes []byte
	Zstd  bool
}

// packFrom is the size in bytes from which content is compressed.
const packFrom = 1 << 10

// packWhole is the size in bytes from which the buffer for all of it is allocated at once.
const packWhole = 1 << 20

// window is how far back, in bytes, packed content may refer. A packer permanently keeps
// twice as much memory, and a reader while it reads.
const window = 1 << 20

// maxBlob bounds what a stored blob may unpack to, in bytes: twice the largest answer or
// request, since a webhook carries text and message.
const maxBlob = 256 << 20

var (
	packer, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2),
		zstd.WithWindowSize(window))
	unpacker, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxBlob))
)

// Pack makes a Blob of b, which must not be modified afterwards.
func Pack(b []byte) Blob {
	if len(b) < packFrom {
		return Blob{Bytes: b}
	}
	room := len(b) / 4
	if len(b) >= packWhole {
		room = packer.MaxEncodedSize(len(b)) // growing would take twice as much
	}
	packed := packer.EncodeAll(b, make([]byte, 0, room))
	if cap(packed)-len(packed) > packWhole {
		packed = bytes.Clone(packed)
	}
	return Blob{Bytes: packed, Zstd: true}
}

// Open returns the content.
func (b Blob) Open() ([]byte, error) {
	if !b.Zstd {
		return b.Bytes, nil
	}
	content, err := unpacker.DecodeAll(b.Bytes, nil)
	if err != nil {
		return nil, fmt.Errorf("unpack content: %w", err)
	}
	return content, nil
}

// Size returns how many bytes Open would return.
func (b Blob) Size() int64 {
	if !b.Zstd {
		return int64(len(b.Bytes))
	}
	var h zstd.Header
	if err := h.Decode(b.Bytes); err != nil || !h.HasFCS {
		return maxBlob // the most that Open would unpack
	}
	return int64(min(h.FrameContentSize, maxBlob))
}

// Unpacking is how much memory a reader from Blob.Reader takes.
const Unpacking = 8 << 20

// Reader streams the content. It must be closed.
func (b Blob) Reader() (io.ReadCloser, error) {
	if !b.Zstd {
		return io.NopCloser(bytes.NewReader(b.Bytes)), nil
	}
	r, err := zstd.NewReader(bytes.NewReader(b.Bytes), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxBlob))
	if err != nil {
		return nil, fmt.Errorf("unpack content: %w", err)
	}
	return r.IOReadCloser(), nil
}

// Stored is a Blob with its stored size. A large one may have been left out.
type Stored struct {
	Blob
	Packed int64
}

// IsLarge reports whether the content is large, packed or not.
func (s Stored) IsLarge() bool { return s.Packed >= LargeBody || s.Size() >= LargeBody }
