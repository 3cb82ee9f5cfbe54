package backlog

import (
	"maps"
	"reflect"
	"testing"
	"time"

	"github.com/ringback/ringback/internal/store"
)

func at(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func TestABucketIsDueWhenItsFirstIs(t *testing.T) {
	t.Parallel()
	b := Bucket{}.Add(1, 20).Add(2, 10).Add(1, 30)
	if want := (Bucket{Count: 4, Due: 10}); b != want {
		t.Errorf("got %+v, want %+v", b, want)
	}
	b.Count = 0
	if got, want := b.Add(1, 40), (Bucket{Count: 1, Due: 40}); got != want {
		t.Errorf("after all were taken: got %+v, want %+v", got, want)
	}
}

func TestALaneAddsUpItsPriorities(t *testing.T) {
	t.Parallel()
	l := store.Lane{Project: "p", Provider: "sim", Model: "m"}
	got := Lanes(maps.All(map[Rank]Bucket{{l, 0}: {2, 30}, {l, 9}: {1, 20}}))
	if want := []store.LaneWaiting{{Lane: l, Count: 3, Due: at(20)}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestPrioritiesComeHighestFirst(t *testing.T) {
	t.Parallel()
	got := Priorities(store.Lane{}, func(r Rank) bool { return r.Priority == 2 || r.Priority == store.MaxPriority })
	if want := []int{store.MaxPriority, 2}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSuspectsAreDueOrNext(t *testing.T) {
	t.Parallel()
	none := maps.All(map[Rank]Bucket{})
	for name, c := range map[string]struct {
		next     int64
		suspects Bucket
		want     store.DueJobs
	}{
		"none":             {50, Bucket{}, store.DueJobs{Next: at(50)}},
		"due":              {50, Bucket{2, 10}, store.DueJobs{Suspects: store.LaneWaiting{Count: 2, Due: at(10)}, Next: at(50)}},
		"before the ranks": {50, Bucket{1, 40}, store.DueJobs{Next: at(40)}},
		"after the ranks":  {50, Bucket{1, 60}, store.DueJobs{Next: at(50)}},
		"alone":            {0, Bucket{1, 60}, store.DueJobs{Next: at(60)}},
	} {
		if got := DueJobs(20, none, c.next, c.suspects); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}
