package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
)

// The load that the bench measured with, in bytes and seconds.
const (
	benchPrompt = 1000
	benchText   = 500
	benchStream = 10
	benchFlight = 10_000
	// Its text is one sentence again and again, which shrinks more than people's do.
	benchShrink = 0.2
)

// measured reads what a job costs from a run of the bench.
func measured(path string) (cost, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the reader's own
	if err != nil {
		return cost{}, fmt.Errorf("no run of the bench: %w; make bench makes one, -from names another", err)
	}
	var r struct {
		Figures []struct {
			Workload, Contender, Metric string
			Values                      []float64
		}
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return cost{}, fmt.Errorf("%s: %w", path, err)
	}
	var missing error
	figure := func(workload, metric string) float64 {
		for _, f := range r.Figures {
			if f.Workload == workload && f.Metric == metric && f.Contender == "ringback" && len(f.Values) > 0 {
				return slices.Sorted(slices.Values(f.Values))[len(f.Values)/2]
			}
		}
		missing = fmt.Errorf("%s has no %q of %q", path, metric, workload)
		return 0
	}
	const flight = "in flight 10000"
	c := cost{
		job:    figure("throughput", "processor"),
		flight: figure(flight, "memory a job") * 1e3,
		shrink: 0.5,
		writer: figure("throughput", "jobs"),
	}
	c.second = max(0, figure(flight, "processor")-c.job) / benchStream // seconds per 1,000 jobs are milliseconds a job
	c.base = max(0, figure(flight, "peak memory")*1e6-c.flight*benchFlight)
	bench := load{prompt: benchPrompt, text: benchText}
	c.row = max(0, figure("1,000,000 finished", "disk for a job")*1e3-bench.content(benchShrink))
	return c, missing
}
