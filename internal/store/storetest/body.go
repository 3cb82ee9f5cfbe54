package storetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/store"
)

// exerciseBodies stores bytes around the threshold of compression, and far from it.
func exerciseBodies(s suite) {
	for _, size := range []int{1, 1023, 1024, 1025, 64 << 10, 1 << 20} {
		s.promise(fmt.Sprintf("%d bytes that compress well come back as they were", size), func(w *world) {
			keepsBytes(w, []byte(strings.Repeat("a webhook is a request; ", size/24+1))[:size])
		})
		s.promise(fmt.Sprintf("%d bytes that do not compress come back as they were", size), func(w *world) {
			keepsBytes(w, noise(size))
		})
	}
	for _, size := range []int{1<<20 - 1, 1<<20 + 1, 2 << 20, 5<<20/2 + 1} {
		s.promise(fmt.Sprintf("%d bytes, around the ends of pieces, come back as they were", size), func(w *world) {
			keepsBytes(w, noise(size))
		})
	}
	s.promise("content that becomes shorter leaves nothing of what was longer", func(w *world) {
		j := w.submit(w.newJob(at(0), claimedOn(w.node)))
		for i, size := range []int{3 << 20, 1 << 20, 10, 2<<20 + 5, 2 << 20} {
			b := noise(size)
			broken := retried(at(2*i+1), at(2*i+1))
			broken.Partial, broken.Events = store.Pack(b), store.Pack(b)
			w.settle(j, broken)
			if c := w.content(j.ID); !bytes.Equal(c.Partial, b) || !bytes.Equal(c.Events, b) {
				w.Errorf("got %d and %d bytes, want the %d that were stored", len(c.Partial), len(c.Events), len(b))
			}
			j = w.claimOne(at(2*i + 2))
		}
	})
}

// noise is the same on each run.
func noise(size int) []byte {
	r := rand.New(rand.NewPCG(uint64(size), 1))
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// keepsBytes stores them as each part of a job, and reads them after a crash.
func keepsBytes(w *world, b []byte) {
	n := w.newJob(at(0), claimedOn(w.node))
	n.Request = store.Pack(b)
	j := w.submit(n)
	broken := retried(at(1), at(1))
	broken.Partial, broken.Events = store.Pack(b), store.Pack(b)
	w.settle(j, broken)
	o := notified(j, at(2))
	o.Answer, o.Delivery.Body = store.Pack(b), store.Pack(b)
	w.settle(w.claimOne(at(1)), o)

	w.crash()
	c := w.content(j.ID)
	p, err := w.Store().Payload(w.ctx(), o.Delivery.ID)
	w.ok(err)
	if p.Left > 0 {
		p.Body = w.blob(o.Delivery.ID, store.PartPayload)
	}
	for what, got := range map[string][]byte{"Request": c.Request, "Answer": c.Answer, "Partial": c.Partial, "Events": c.Events, "Payload": p.Body} {
		if !bytes.Equal(got, b) {
			w.Errorf("%s: got %d other bytes, want the %d that were stored", what, len(got), len(b))
		}
	}
	w.same("Payload's headers", p.Header, j.Options.CallbackHeaders)
}

// blob reads and unpacks a part.
func (w *world) blob(owner uuid.UUID, part store.Parts) []byte {
	w.Helper()
	b, err := w.Store().Blob(w.ctx(), owner, part)
	w.ok(err)
	text, err := b.Open()
	w.ok(err)
	w.same("Size", b.Size(), int64(len(text)))
	return text
}

// exerciseLargeBodies reads large bodies separately.
func exerciseLargeBodies(s suite) {
	for what, b := range map[string][]byte{
		"large":                noise(store.LargeBody),
		"large when unpacked":  []byte(strings.Repeat("a", 10*store.LargeBody)),
		"just not large":       noise(store.LargeBody - 1000),
		"not to be compressed": []byte("small"),
	} {
		s.promise("content that is "+what+" is left out where large content is not wanted", func(w *world) {
			j := w.running(at(0))
			o := notified(j, at(1))
			o.Answer, o.Delivery.Body = store.Pack(b), store.Pack(b)
			w.settle(j, o)
			_, c, err := w.Store().Job(w.ctx(), project, j.ID, store.PartAnswer|store.LeaveLarge)
			w.ok(err)
			p, err := w.Store().Payload(w.ctx(), o.Delivery.ID)
			w.ok(err)
			if len(b) < store.LargeBody {
				w.same("Answer", string(c.Answer), string(b))
				w.same("Body", string(p.Body), string(b))
				w.same("Left", len(c.Left), 0)
				return
			}
			w.same("Answer", len(c.Answer), 0)
			w.same("Body", len(p.Body), 0)
			w.same("Left", c.Left[store.PartAnswer], int64(len(o.Answer.Bytes)))
			w.same("Payload's Left", p.Left, int64(len(o.Answer.Bytes)))
			w.same("the answer by itself", string(w.blob(j.ID, store.PartAnswer)), string(b))
			w.same("the body by itself", string(w.blob(o.Delivery.ID, store.PartPayload)), string(b))
		})
	}
	s.promise("a part that is not there is no blob", func(w *world) {
		b, err := w.Store().Blob(w.ctx(), w.newID(at(0)), store.PartAnswer)
		w.ok(err)
		w.same("Blob", len(b.Bytes), 0)
	})
}
