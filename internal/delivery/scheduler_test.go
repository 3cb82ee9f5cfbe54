package delivery

import (
	"testing"
	"time"

	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/store"
)

// receiving is a host with tries out that all take the same time.
type receiving struct {
	sends scheduler
	host  store.Host
	out   []*permit
	most  int
}

func newReceiving() *receiving {
	r := &receiving{host: store.Host{Project: "default", Host: "a-host"}}
	r.sends.init(limit.Config{})
	return r
}

// come claims n deliveries: some are tried, the others are queued.
func (r *receiving) come(n int) {
	for range n {
		p := r.sends.take(r.host)
		if p == nil {
			return
		}
		if now, _ := r.sends.begin(&Claim{permit: p}); now {
			r.out = append(r.out, p)
		}
	}
	r.most = max(r.most, len(r.out))
}

// answer ends the first try, which has taken so long.
func (r *receiving) answer(v limit.Verdict, took time.Duration) {
	p := r.out[0]
	r.out = r.out[1:]
	next, _ := p.tried(limit.Report{Verdict: v}, took)
	p.give()
	for _, s := range next {
		r.out = append(r.out, s.permit)
	}
	r.most = max(r.most, len(r.out))
}

// busy answers n tries, while more are queued than there is room for.
func (r *receiving) busy(answers int, took time.Duration) {
	for range answers {
		r.come(100)
		r.answer(limit.OK, took)
	}
}

// A host has 8 slots, and more only while it answers quickly and more are queued for it.
func TestAQuickHostGetsMoreSlots(t *testing.T) {
	r := newReceiving()
	r.busy(8, 20*time.Millisecond)
	if r.most <= 8 || r.most > 16 {
		t.Errorf("tries at once after 8 answers: got %d, want one more for each", r.most)
	}
	r.busy(200, 20*time.Millisecond)
	if r.most != 64 {
		t.Errorf("tries at once after many: got %d, want 64", r.most)
	}
	r.answer(limit.Failed, 20*time.Millisecond)
	if slots := r.sends.host(r.host).slots; slots != 8 {
		t.Errorf("slots after a try that failed: got %d, want 8", slots)
	}
}

func TestAHostThatIsNotQuickKeepsItsEightSlots(t *testing.T) {
	for _, took := range []time.Duration{quickTry, slowTry, 2 * slowTry} {
		r := newReceiving()
		r.busy(100, took)
		if r.most != 8 {
			t.Errorf("tries of %s at once: got %d, want 8", took, r.most)
		}
	}
}

func TestAHostWithAnEmptyQueueGetsNoMoreSlots(t *testing.T) {
	r := newReceiving()
	for range 100 {
		r.come(8 - len(r.out))
		r.answer(limit.OK, time.Millisecond)
	}
	r.come(100)
	if r.most != 8 {
		t.Errorf("tries at once when many come: got %d, want 8", r.most)
	}
}

func TestAHostThatHasBecomeSlowLosesWhatItHadGot(t *testing.T) {
	r := newReceiving()
	r.busy(200, 20*time.Millisecond)
	r.busy(200, 2*slowTry)
	if len(r.out) > 8 {
		t.Errorf("tries at once: got %d, want 8", len(r.out))
	}
}
