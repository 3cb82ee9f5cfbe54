// Package backlog has what both stores compute alike about waiting work: ranks, counts and
// when something is due. It knows no SQL; each store finds out in its own way what there
// is.
package backlog

import (
	"iter"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
)

// Rank is the jobs of one priority in a lane.
type Rank struct {
	store.Lane

	Priority int
}

// RankOf returns the rank that a job waits in, unless it is suspect.
func RankOf(j *store.Job) Rank { return Rank{j.Lane(), j.Priority} }

// Priorities returns those at which jobs of a lane wait according to has, the highest
// first.
func Priorities(l store.Lane, has func(Rank) bool) (priorities []int) {
	for p := store.MaxPriority; p >= 0; p-- {
		if has(Rank{l, p}) {
			priorities = append(priorities, p)
		}
	}
	return priorities
}

// Bucket is a count, and a time in milliseconds since 1970 that is no later than when the
// first of those counted is due.
type Bucket struct {
	Count int
	Due   int64
}

// Add returns b with n more; the first one is due at due.
func (b Bucket) Add(n int, due int64) Bucket {
	if b.Count <= 0 || due < b.Due {
		b.Due = due
	}
	b.Count += n
	return b
}

// Covers reports whether b leads to everything that is stored.
func (b Bucket) Covers(stored Bucket) bool {
	return b.Count == stored.Count && (b.Count == 0 || b.Due <= stored.Due)
}

// Suspects returns b as what is waiting in the lane of suspects.
func (b Bucket) Suspects() store.LaneWaiting {
	return store.LaneWaiting{Count: b.Count, Due: column.Time(b.Due)}
}

// DueJobs returns where jobs are due at now, given the due ranks, when the next rank will
// be due (0: none), and all suspects.
func DueJobs(now int64, due iter.Seq2[Rank, Bucket], next int64, suspects Bucket) store.DueJobs {
	out := store.DueJobs{Lanes: Lanes(due), Next: column.Time(next)}
	switch {
	case suspects.Count == 0:
	case suspects.Due <= now:
		out.Suspects = suspects.Suspects()
	case next == 0 || suspects.Due < next:
		out.Next = column.Time(suspects.Due)
	}
	return out
}

// Lanes adds up the priorities of each lane.
func Lanes(ranks iter.Seq2[Rank, Bucket]) []store.LaneWaiting {
	var lanes []store.LaneWaiting
	at := map[store.Lane]int{}
	for r, b := range ranks {
		i, known := at[r.Lane]
		if !known {
			at[r.Lane] = len(lanes)
			lanes = append(lanes, store.LaneWaiting{Lane: r.Lane, Count: b.Count, Due: column.Time(b.Due)})
			continue
		}
		lanes[i].Count += b.Count
		if due := column.Time(b.Due); due.Before(lanes[i].Due) {
			lanes[i].Due = due
		}
	}
	return lanes
}

// Hosts returns what is waiting for each host.
func Hosts(hosts iter.Seq2[store.Host, Bucket]) []store.HostWaiting {
	var out []store.HostWaiting
	for h, b := range hosts {
		out = append(out, store.HostWaiting{Host: h, Count: b.Count, Due: column.Time(b.Due)})
	}
	return out
}
