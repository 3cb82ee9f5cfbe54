package api

import (
	"bytes"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/memory"
)

// bodyFrom reads a body that send writes, under the limits of a server; the connection is
// in memory, so that its deadlines follow the bubble's clock. It returns how much of the
// pool the reader took.
func bodyFrom(t *testing.T, length, most int64, send func(io.Writer)) (text []byte, taken int64, err error) {
	t.Helper()
	theirs, ours := net.Pipe()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		defer theirs.Close()
		send(theirs)
	}()
	pool := memory.New(1 << 30)
	start := time.Now()
	if err := ours.SetReadDeadline(start.Add(bodyGrace)); err != nil { // like the server's ReadTimeout
		t.Fatal(err)
	}
	b := &bodyReader{
		in: ours, most: most, deadline: ours.SetReadDeadline, grace: bodyGrace, start: start,
		pool: pool, grant: pool.Grant(),
	}
	err = b.read(length)
	ours.Close()
	<-sent
	return b.text, b.grant.Taken(), err
}

func TestABodyIsReadWhole(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 511, 512, 513, bodyChunk - 1, bodyChunk, bodyChunk + 1, 3*bodyChunk + 7} {
		for _, known := range []bool{true, false} {
			want := bytes.Repeat([]byte{'x'}, size)
			length := int64(-1)
			if known {
				length = int64(size)
			}
			got, taken, err := bodyFrom(t, length, 4*bodyChunk, func(w io.Writer) { _, _ = w.Write(want) })
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, length %d: got %d bytes, %v", size, length, len(got), err)
			}
			if known && taken > int64(size+1)*bodyCost {
				t.Errorf("%d bytes took %d of the pool", size, taken)
			}
		}
	}
}

func TestABodyOfUnknownLengthIsBounded(t *testing.T) {
	t.Parallel()
	text, taken, err := bodyFrom(t, -1, 10_000, func(w io.Writer) {
		for {
			if _, err := w.Write(make([]byte, 1000)); err != nil {
				return
			}
		}
	})
	e := errorOf(t, err)
	if e.Code != ringback.TooLarge || e.Message != "the body is larger than 10000 bytes" {
		t.Errorf("got %+v, want too_large", e)
	}
	if len(text) > 10_001 || taken > 10_001*bodyCost {
		t.Errorf("%d bytes were read and %d of the pool taken", len(text), taken)
	}
	if text, _, err := bodyFrom(t, -1, 10_000, func(w io.Writer) { _, _ = w.Write(make([]byte, 10_000)) }); err != nil || len(text) != 10_000 {
		t.Errorf("as much as is allowed: got %d bytes, %v", len(text), err)
	}
}

func TestASlowSenderIsGivenTimeWhileItSends(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		text, _, err := bodyFrom(t, 16<<20, 32<<20, func(w io.Writer) {
			for range 256 { // 64 KiB a second
				time.Sleep(time.Second)
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		})
		if err != nil || len(text) != 16<<20 {
			t.Errorf("after %v: got %d bytes, %v", time.Since(start), len(text), err)
		}
	})
}

func TestASenderThatDripsIsCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, _, err := bodyFrom(t, 1<<20, 32<<20, func(w io.Writer) {
			for {
				time.Sleep(5 * time.Second)
				if _, err := w.Write([]byte("x")); err != nil {
					return
				}
			}
		})
		if e := errorOf(t, err); e.Message != "the body came too slowly; send it in one go" {
			t.Errorf("got %+v", e)
		}
		if took := time.Since(start); took < bodyGrace || took > bodyGrace+5*time.Second {
			t.Errorf("it was cut off after %v, want %v", took, bodyGrace)
		}
	})
}
