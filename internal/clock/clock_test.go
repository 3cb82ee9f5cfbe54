package clock

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

func TestTheClockIsThatOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Clock
		if !c.Now().Equal(time.Now()) {
			t.Error("without a renewal it is this machine's")
		}
		ahead := func() time.Duration { return time.Until(c.Now()) }
		renew := func(took, ahead time.Duration) {
			asked := time.Now()
			time.Sleep(took)
			c.Learn(asked, time.Now(), asked.Add(took/2).Add(ahead))
		}
		renew(10*time.Millisecond, time.Hour)
		if got := ahead(); got != time.Hour {
			t.Errorf("an hour ahead: got %s", got)
		}
		time.Sleep(time.Minute)
		renew(10*time.Millisecond, time.Hour+3*time.Millisecond)
		if got := ahead(); got != time.Hour {
			t.Errorf("within what an answer's time leaves open: got %s, want it as it was", got)
		}
		renew(10*time.Millisecond, 0)
		if got := ahead(); got.Abs() > 5*time.Millisecond {
			t.Errorf("the store's clock was set: got %s ahead", got)
		}
		c.Learn(time.Now(), time.Now(), time.Time{})
		if got := ahead(); got.Abs() > 5*time.Millisecond {
			t.Errorf("a store without a clock changes nothing: got %s ahead", got)
		}
	})
}

func TestTimesCrossTheBorderBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Clock
		at := time.Now().Add(5 * time.Minute)
		if !c.Shared(at).Equal(at) || !c.Local(at).Equal(at) {
			t.Error("without another clock they stay what they are")
		}
		c.Learn(time.Now(), time.Now(), time.Now().Add(-time.Hour))
		if got := c.Shared(at); !got.Equal(at.Add(-time.Hour)) {
			t.Errorf("shared: got %s, want an hour before %s", got, at)
		}
		if got := c.Local(c.Shared(at)); !got.Equal(at) {
			t.Errorf("and back: got %s, want %s", got, at)
		}
		if !c.Shared(time.Time{}).IsZero() || !c.Local(time.Time{}).IsZero() {
			t.Error("no time is no time on either side")
		}
	})
}

func TestIDsAreOfTheOneClockAndNeverTwice(t *testing.T) {
	var c Clock
	if _, err := c.NewID(); err != nil { // before the store's clock is known
		t.Fatal(err)
	}
	now := time.Now()
	c.Learn(now, now, now.Add(-24*time.Hour))
	var made sync.WaitGroup
	ids := make([][]string, 8)
	for i := range ids {
		made.Go(func() {
			for range 2000 {
				id, err := c.NewID()
				if err != nil {
					t.Error(err)
				}
				ids[i] = append(ids[i], id.String())
			}
		})
	}
	made.Wait()
	for _, mine := range ids {
		if !slices.IsSorted(mine) {
			t.Error("those of one goroutine do not sort as they were made")
		}
	}
	all := slices.Concat(ids...)
	slices.Sort(all)
	if len(slices.Compact(all)) != 8*2000 {
		t.Error("an id came twice")
	}
	id := uuid.MustParse(all[0])
	seconds, nanos := id.Time().UnixTime()
	if off := c.Now().Sub(time.Unix(seconds, nanos)); off < 0 || off > time.Minute || id.Version() != 7 || id.Variant() != uuid.RFC4122 {
		t.Errorf("%s: version %d, variant %s, made %s ago", id, id.Version(), id.Variant(), off)
	}
}
