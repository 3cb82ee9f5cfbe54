package memory_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/ringback/ringback/internal/memory"
)

const mib = 1 << 20

func TestSmallChargesPassWhileLargeOnesFillThePool(t *testing.T) {
	t.Parallel()
	b := memory.New(64 * mib)
	if !b.Take(b.Largest()) {
		t.Fatal("the largest charge has no room in an empty pool")
	}
	if b.Take(memory.Small + 1) {
		t.Error("a large charge took what is kept for small ones")
	}
	if !b.Crowded() || b.Full() {
		t.Errorf("crowded: %v, full: %v; want crowded and not full", b.Crowded(), b.Full())
	}
	// Charges that are still growing leave room for smaller ones.
	for _, size := range []int64{memory.Small, memory.Small / 4, memory.Small / 16, memory.Small / 64} {
		before := b.Used()
		for b.Take(size) {
		}
		if got := b.Used() - before; got != 2*mib {
			t.Errorf("charges of %d bytes got %d together, want %d", size, got, 2*mib)
		}
	}
	if b.Used() != b.Size() || !b.Full() {
		t.Errorf("at the end: used %d of %d, want all", b.Used(), b.Size())
	}
}

func TestAGrantThatGrewLargeIsNoSmallOne(t *testing.T) {
	t.Parallel()
	b := memory.New(64 * mib)
	b.Take(b.Largest())
	g := b.Grant()
	taken := 0
	for g.Take(64 << 10) {
		taken += 64 << 10
	}
	if taken != memory.Small {
		t.Errorf("in small steps a grant got %d of what is kept for small ones, want %d", taken, memory.Small)
	}
	if smaller := b.Grant(); !smaller.Take(memory.Small / 4) {
		t.Error("a smaller grant got nothing beside one that had all it may")
	} else {
		smaller.Release()
	}
	g.Release()
	g.Release() // returns nothing twice
	if b.Used() != b.Largest() {
		t.Errorf("after the release: %d bytes are taken, want %d", b.Used(), b.Largest())
	}
}

func TestOneGrantAtATimeMayOverdraw(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(16 * mib)
		const grants = 3
		done := make(chan *memory.Grant, grants)
		for range grants {
			go func() {
				g := b.Grant()
				for range 16 {
					if err := g.Grow(t.Context(), 2*mib); err != nil {
						t.Error(err)
					}
				}
				done <- g
			}()
		}
		for range grants {
			g := <-done
			if g.Taken() != 32*mib {
				t.Errorf("got %d, want all", g.Taken())
			}
			synctest.Wait()
			if used := b.Used(); used > (32+16)*mib {
				t.Errorf("%d bytes are taken: two overdraw at once", used)
			}
			g.Release()
		}
		if b.Used() != 0 {
			t.Errorf("at the end: %d bytes are taken", b.Used())
		}
	})
}

// A grant that overdraws takes nothing from small ones: they must not wait until a slow
// answer is over.
func TestWhatIsOverdrawnIsNotTakenFromSmallCharges(t *testing.T) {
	t.Parallel()
	b := memory.New(64 * mib)
	g := b.Grant()
	if err := errors.Join(g.Grow(t.Context(), 40*mib), g.Grow(t.Context(), 80*mib)); err != nil {
		t.Fatal(err)
	}
	if b.Full() || !b.Take(8<<10) || !b.Take(memory.Small) {
		t.Error("small charges have no room while a grant overdraws")
	}
	if b.Take(memory.Small + 1) {
		t.Error("a large charge passed while a grant overdraws")
	}
	if want := int64(120*mib + 8<<10 + memory.Small); b.Used() != want {
		t.Errorf("used %d, want %d", b.Used(), want)
	}
	g.Shrink(20 * mib)
	if want := int64(20*mib + 8<<10 + memory.Small); b.Used() != want || !b.Take(20*mib) {
		t.Errorf("after shrinking: used %d, want %d, and room for large charges", b.Used(), want)
	}
	g.Release()
}

func TestPoolsBesideEachOtherOverdrawInTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answers := memory.New(16 * mib)
		webhooks := memory.NewBeside(answers, 8*mib)
		first, second := answers.Grant(), webhooks.Grant()
		if err := errors.Join(first.Grow(t.Context(), 20*mib), second.Grow(t.Context(), 4*mib)); err != nil {
			t.Fatal(err)
		}
		grown := make(chan error)
		go func() { grown <- second.Grow(t.Context(), 16*mib) }()
		synctest.Wait()
		if webhooks.Used() != 4*mib {
			t.Errorf("%d bytes of webhooks are taken while an answer overdraws", webhooks.Used())
		}
		first.Release()
		if err := <-grown; err != nil || webhooks.Used() != 20*mib {
			t.Errorf("afterwards: got %v and %d bytes, want all", err, webhooks.Used())
		}
		second.Release()
	})
}

func TestAGrantThatWaitsCanBeStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(16 * mib)
		first := b.Grant()
		if err := first.Grow(t.Context(), 20*mib); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan error)
		go func() { stopped <- b.Grant().Grow(ctx, mib) }()
		synctest.Wait()
		cancel()
		if err := <-stopped; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want canceled", err)
		}
		first.Shrink(mib)
		if b.Used() != mib {
			t.Errorf("after shrinking: %d, want %d", b.Used(), mib)
		}
		first.Release()
	})
}

func TestThePartsLeaveRoomForEverythingElse(t *testing.T) {
	t.Parallel()
	p := memory.Split(512 * mib)
	if all := p.All(); all > 512*mib*3/4 {
		t.Errorf("the parts are %d MiB together, which leaves too little of 512 MiB", all/mib)
	}
}

func TestTheLargestReadPassesWhenLittleElseIsTaken(t *testing.T) {
	t.Parallel()
	b := memory.New(64 * mib)
	refused := errors.New("no room")
	first, second := b.Grant(), b.Grant()
	if err := first.OrFail(refused)(1 << 40); err != nil || first.Taken() >= b.Largest() {
		t.Errorf("the largest read: got %v with %d bytes, want most of the pool", err, first.Taken())
	}
	if err := second.OrFail(refused)(32 * mib); !errors.Is(err, refused) || second.Taken() != 0 {
		t.Errorf("another one: got %v with %d bytes, want a refusal", err, second.Taken())
	}
	if err := second.OrFail(refused)(mib); err != nil {
		t.Errorf("a small one beside it: %v", err)
	}
	first.Release()
	second.Release()
	if used := b.Used(); used != 0 {
		t.Errorf("after the release: %d bytes are taken", used)
	}
}
