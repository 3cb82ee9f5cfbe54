package delivery

import (
	"time"

	"github.com/ringback/ringback/internal/limit"
)

const (
	slotsPerHost    = 8
	maxSlotsPerHost = 64

	quickTry = 250 * time.Millisecond
	slowTry  = 500 * time.Millisecond

	// A queue is at most as long as what the host takes in aheadTime, going by its last
	// tries: a slow host must not keep from others what it can't take.
	maxAhead  = 1024
	aheadTime = time.Second
)

// host is a receiver's host. While its queue is not empty a try is out, which will hand its
// slot on.
//
// It has 8 slots. While it answers within quickTry and more are queued it gets one more with
// each answer, 64 at most; beyond slowTry it loses them again, and all that it had got when
// a try fails. So a receiver that can do only one thing at a time is never pressed so hard
// that its answers come near the time-out. And when most of the 256 are taken, no host has
// more than 8: the others come first.
type host struct {
	gate   *limit.Gate
	slots  int
	out    int // tries that have not ended
	queue  []*Claim
	queued int           // of the queue, with those that are promised to a claim
	took   time.Duration // a try, on a moving average
	probed time.Time     // when a redelivery last went out in spite of a hold
}

// ahead returns how many may be queued for the host.
func (h *host) ahead() int {
	if _, _, held := h.gate.Held(); held || !h.gate.Proven() {
		return 0
	}
	return min(maxAhead, int(time.Duration(h.slots)*aheadTime/max(h.took, time.Millisecond)))
}

// stalled reports whether no try is out that would hand its slot to a queue.
func (h *host) stalled() bool {
	_, _, held := h.gate.Held()
	return held || h.out == 0
}

// resize adds or takes away a slot of the host, by how a try went.
func (h *host) resize(took time.Duration, ok, mayGrow bool) {
	if h.took == 0 {
		h.took = took
	}
	h.took += (took - h.took) / 8
	switch {
	case !ok:
		h.slots = slotsPerHost
	case h.took > slowTry:
		h.slots = max(slotsPerHost, h.slots-1)
	case mayGrow && h.took < quickTry && len(h.queue) > 0:
		h.slots = min(maxSlotsPerHost, h.slots+1)
	}
	h.gate.Resize(h.slots)
}
