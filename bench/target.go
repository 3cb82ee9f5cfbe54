package main

import (
	"fmt"
	"math"
	"slices"
)

// target is a goal for Ringback, as a ratio within one run wherever possible.
type target struct {
	what     string
	want     string
	measured func(r *results) (text string, met bool)
}

var targets = []target{
	{"throughput, to the ceiling (null)", "≥ 0.6, the goal is 0.8", atLeast(throughput, "jobs", "ringback", "null", 0.6)},
	{"throughput, to BullMQ (AOF everysec)", "≥ 8", atLeast(throughput, "jobs", "ringback", "bullmq", 8)},
	{"on PostgreSQL: throughput, to River", "≥ 3", atLeast(throughput, "jobs", "ringback-pg", "river", 3)},
	{"… of two nodes, to one on the same processors", "≥ 1", atLeast(throughput, "jobs", "ringback-pg-2", "ringback-pg", 1)},
	{"`202` p99 at half load, to BullMQ's p50", "< 1", func(r *results) (string, bool) {
		ours, theirs := r.find(latency, "ringback", "202 p99"), r.find(latency, "bullmq", "202 p50")
		if ours == nil || theirs == nil {
			return notMeasured, false
		}
		ratio := median(pairwise(ours.Values, theirs.Values))
		return fmt.Sprintf("%.2f (%s to %s ms)", ratio, short(median(ours.Values)), short(median(theirs.Values))), ratio < 1
	}},
	{"overhead at low load, p50", "≤ 2 ms", atMost(overhead, "p50", "ringback", 2, "ms")},
	{"… on PostgreSQL, at 50 jobs a second", "< 3 ms", atMost(overhead, "p50"+at50, "ringback-pg", 3, "ms")},
	{"… to every peer whose `202` is on disk", "< 1", func(r *results) (text string, met bool) {
		met = true
		for _, peer := range []string{"bullmq-always", "river"} {
			ratio := r.ratio(overhead, "p50", "ringback", peer)
			if math.IsNaN(ratio) {
				return notMeasured, false
			}
			met = met && ratio < 1
			text += fmt.Sprintf("%s %s; ", peer, short(ratio))
		}
		return text[:len(text)-2], met
	}},
	{"10,000 in flight: at the provider at once, and all complete", "10,000", func(r *results) (string, bool) {
		peak := r.median(flightName(10000), "ringback", atOnceMetric)
		if math.IsNaN(peak) {
			return notMeasured, false
		}
		return short(peak), peak == 10000
	}},
	{"… memory a job", "≤ 40 KB", atMost(flightName(10000), "memory a job", "ringback", 40, "KB")},
	{"… overhead p50", "< 1 s", atMost(flightName(10000), "overhead p50", "ringback", 1000, "ms")},
	{"1,000,000 queued: start", "< 5 s", atMost(backlog, "start", "ringback", 5, "s")},
	{"… memory", "< 300 MB", atMost(backlog, "peak memory at work", "ringback", 300, "MB")},
	{"… on PostgreSQL: start", "< 5 s", atMost(backlog, "start", "ringback-pg", 5, "s")},
	{"… memory", "< 300 MB", atMost(backlog, "peak memory at work", "ringback-pg", 300, "MB")},
	{"1,000,000 finished: throughput, to an empty store", "≥ 0.9", besideAMillion("ringback", 0.9)},
	{"… on PostgreSQL", "≥ 0.9", besideAMillion("ringback-pg", 0.9)},
	{"a node of two killed: its first job goes on after", "< 10 s", atMost(killed, goesOn, "ringback-pg-2", 10, "s")},
	{"a provider's piece to a reader's event, p50", "< 2 ms", delays("ringback", 2)},
	{"… on PostgreSQL", "< 2 ms", delays("ringback-pg", 2)},
	{"… at a node that does not run the job", "< 10 ms", delays("ringback-pg-2", 10)},
	{"10,000 idle readers: memory", "< 500 MB", atMost(idle, "memory, at most", "ringback", 500, "MB")},
	{"… throughput, to that without them", "≥ 0.9", besideReaders("ringback", 0.9)},
	{"… goroutines, descriptors that stay when they have left", "none (≤ 100)", stays("ringback", 100)},
	{"soak of 10 minutes: growth after the first two", "none (≤ 5 %)", soakGrowth},
}

const notMeasured = "not measured"

func atLeast(workload, metric, contender, peer string, least float64) func(*results) (string, bool) {
	return func(r *results) (string, bool) {
		all := r.ratios(workload, metric, contender, peer)
		if len(all) == 0 {
			return notMeasured, false
		}
		return fmt.Sprintf("%s (%s to %s)", short(median(all)), short(slices.Min(all)), short(slices.Max(all))), median(all) >= least
	}
}

func atMost(workload, metric, contender string, most float64, unit string) func(*results) (string, bool) {
	return func(r *results) (string, bool) {
		v := r.median(workload, contender, metric)
		if math.IsNaN(v) {
			return notMeasured, false
		}
		return short(v) + " " + unit, v <= most
	}
}

func besideAMillion(contender string, least float64) func(*results) (string, bool) {
	return func(r *results) (string, bool) {
		full, empty := r.find(finished, contender, "beside a million"), r.find(finished, contender, "beside none")
		if full == nil || empty == nil {
			return notMeasured, false
		}
		ratio := median(pairwise(full.Values, empty.Values))
		return short(ratio), ratio >= least
	}
}

// delays checks those of all shapes, beside the ceiling's.
func delays(contender string, most float64) func(*results) (string, bool) {
	return func(r *results) (text string, met bool) {
		met = true
		for _, s := range shapes {
			v, ceiling := r.median(live, contender, s.name+": p50"), r.median(live, direct, s.name+": p50")
			if math.IsNaN(v) {
				return notMeasured, false
			}
			met = met && v < most
			text += fmt.Sprintf("%s %s ms (direct %s", s.name, short(v), short(ceiling))
			if least := r.median(live, floor, s.name+": p50"); !math.IsNaN(least) {
				text += ", floor " + short(least)
			}
			text += "); "
		}
		return text[:len(text)-2], met
	}
}

func besideReaders(contender string, least float64) func(*results) (string, bool) {
	return func(r *results) (string, bool) {
		ratio := r.median(idle, contender, "jobs beside them") / r.median(idle, contender, "jobs without readers")
		if math.IsNaN(ratio) {
			return notMeasured, false
		}
		return short(ratio), ratio >= least
	}
}

// stays checks what readers that have left still occupy.
func stays(contender string, most float64) func(*results) (string, bool) {
	return func(r *results) (text string, met bool) {
		met = true
		for _, what := range []string{"goroutines", "descriptors"} {
			before, after := r.median(idle, contender, what+" before"), r.median(idle, contender, what+" when all have left")
			if math.IsNaN(after) {
				return notMeasured, false
			}
			met = met && after-before <= most
			text += fmt.Sprintf("%s %s → %s; ", what, short(before), short(after))
		}
		return text[:len(text)-2], met
	}
}

func soakGrowth(r *results) (text string, met bool) {
	met = true
	for _, what := range []string{"memory", "goroutines", "descriptors", "write-ahead log"} {
		early, late := r.median(soaked, "ringback", what+soakEarly), r.median(soaked, "ringback", what+soakLate)
		if math.IsNaN(early) || math.IsNaN(late) {
			return notMeasured, false
		}
		met = met && late <= early*1.05
		text += fmt.Sprintf("%s %s → %s; ", what, short(early), short(late))
	}
	return text[:len(text)-2], met
}

// pairwise divides the figures of the same round.
func pairwise(a, b []float64) (all []float64) {
	for i := range min(len(a), len(b)) {
		all = append(all, a[i]/b[i])
	}
	return all
}
