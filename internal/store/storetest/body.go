package storetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/ringback/ringback/internal/store"
)

// exerciseBodies stores bytes around the border of compression, and far from it.
func exerciseBodies(s suite) {
	for _, size := range []int{1, 1023, 1024, 1025, 64 << 10, 1 << 20} {
		s.promise(fmt.Sprintf("%d bytes that compress well come back as they were", size), func(w *world) {
			keepsBytes(w, []byte(strings.Repeat("a webhook is a request; ", size/24+1))[:size])
		})
		s.promise(fmt.Sprintf("%d bytes that do not compress come back as they were", size), func(w *world) {
			keepsBytes(w, noise(size))
		})
	}
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
	n := w.newJob(at(0), bornOn(w.node))
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
	for what, got := range map[string][]byte{"Request": c.Request, "Answer": c.Answer, "Partial": c.Partial, "Events": c.Events, "Payload": p.Body} {
		if !bytes.Equal(got, b) {
			w.Errorf("%s: got %d other bytes, want the %d that were stored", what, len(got), len(b))
		}
	}
	w.same("Payload's headers", p.Header, j.Options.CallbackHeaders)
}
