package backoff

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestJitterStaysWithinItsSpread(t *testing.T) {
	for _, spread := range []float64{Fifth, Half} {
		low, high := time.Duration(float64(time.Minute)*(1-spread)), time.Duration(float64(time.Minute)*(1+spread))
		for range 1000 {
			if got := Jitter(time.Minute, spread); got < low || got > high {
				t.Fatalf("Jitter(1m, %v): got %s, want %s to %s", spread, got, low, high)
			}
		}
		if got := JitterBy(time.Minute, spread, 0.5); got != time.Minute {
			t.Errorf("JitterBy(1m, %v, 0.5): got %s, want 1m", spread, got)
		}
	}
}

func TestASleepEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if !Sleep(ctx, time.Second) {
			t.Error("a sleep of 1s within 1m: got false, want true")
		}
		if Sleep(ctx, time.Hour) {
			t.Error("a sleep of 1h within 1m: got true, want false")
		}
	})
}
