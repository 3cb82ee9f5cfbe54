package memory_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/ringback/ringback/internal/memory"
)

const mib = 1 << 20

func TestSmallChargesPassWhileLargeOnesFillTheBudget(t *testing.T) {
	t.Parallel()
	b := memory.New(64 * mib)
	if !b.Take(b.Largest()) {
		t.Fatal("the largest charge has no room in an empty budget")
	}
	if b.Take(memory.Small + 1) {
		t.Error("a large charge took what is kept for small ones")
	}
	if !b.Crowded() || b.Full() {
		t.Errorf("crowded: %v, full: %v; want crowded and not full", b.Crowded(), b.Full())
	}
	n := 0
	for b.Take(memory.Small) {
		n++
	}
	if n != 16 || b.Used() != b.Size() || !b.Full() {
		t.Errorf("small charges: got %d, used %d of %d; want 16 and all", n, b.Used(), b.Size())
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
	g.Release()
	g.Release() // gives nothing back twice
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

func TestBudgetsBesideEachOtherOverdrawInTurn(t *testing.T) {
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
