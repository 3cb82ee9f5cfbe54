package main

import (
	"cmp"
	"encoding/json"
	"math"
	"os"
	"slices"
	"time"
)

// results are what a run of the bench found, as they are stored in JSON.
type results struct {
	Started time.Time         `json:"started"`
	Took    string            `json:"took"`
	Machine map[string]string `json:"machine"`
	// Versions of the contenders and of what they are built on.
	Versions map[string]string `json:"versions"`
	// Missing are contenders that could not be installed, and why.
	Missing map[string]string `json:"missing,omitempty"`
	Figures []figure          `json:"figures"`
	// Failures are measurements that could not be made, and why.
	Failures []failure `json:"failures,omitempty"`
	// Series are curves over time or over load.
	Series []series `json:"series,omitempty"`
}

// figure is one thing measured in every round.
type figure struct {
	Workload  string    `json:"workload"`
	Contender string    `json:"contender"`
	Metric    string    `json:"metric"`
	Unit      string    `json:"unit"`
	Values    []float64 `json:"values"` // one a round
}

type failure struct {
	Workload, Contender, Why string
}

// series is a curve: pairs of x and y.
type series struct {
	Name   string       `json:"name"`
	Points [][2]float64 `json:"points"`
}

func (r *results) add(workload, contender, metric, unit string, value float64) {
	if f := r.find(workload, contender, metric); f != nil {
		f.Values = append(f.Values, value)
		return
	}
	r.Figures = append(r.Figures, figure{workload, contender, metric, unit, []float64{value}})
}

func (r *results) fail(workload, contender string, err error) {
	r.Failures = append(r.Failures, failure{workload, contender, err.Error()})
}

// find returns a figure; nil if it was not measured.
func (r *results) find(workload, contender, metric string) *figure {
	i := slices.IndexFunc(r.Figures, func(f figure) bool {
		return f.Workload == workload && f.Contender == contender && f.Metric == metric
	})
	if i < 0 {
		return nil
	}
	return &r.Figures[i]
}

// rows returns the rows of a workload: first the baselines, which are no contenders, then
// the contenders in their order.
func (r *results) rows(workload string) (names []string) {
	for _, f := range r.Figures {
		if f.Workload == workload && !slices.Contains(names, f.Contender) {
			names = append(names, f.Contender)
		}
	}
	place := func(name string) int {
		return slices.IndexFunc(contenders, func(c contender) bool { return c.Name == name })
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(place(a), place(b)) })
	return names
}

// median returns the figure's median over the rounds; NaN if it was not measured.
func (r *results) median(workload, contender, metric string) float64 {
	f := r.find(workload, contender, metric)
	if f == nil {
		return math.NaN()
	}
	return median(f.Values)
}

// ratio returns the median, over the rounds, of one contender's figure to another's in the
// same round: the state of the machine affects both.
func (r *results) ratio(workload, metric, a, b string) float64 {
	return median(r.ratios(workload, metric, a, b))
}

func (r *results) ratios(workload, metric, a, b string) (all []float64) {
	fa, fb := r.find(workload, a, metric), r.find(workload, b, metric)
	if fa == nil || fb == nil {
		return nil
	}
	for i := range min(len(fa.Values), len(fb.Values)) {
		all = append(all, fa.Values[i]/fb.Values[i])
	}
	return all
}

// keep writes the results; it keeps the workloads in the file that only a former run
// measured.
func (r *results) keep(path string) error {
	former, err := readResults(path)
	if err != nil {
		return r.write(path)
	}
	if r.Machine == nil { // nothing was measured
		return nil
	}
	all := *r
	again := map[string]bool{}
	for _, f := range r.Figures {
		again[f.Workload] = true
	}
	for _, f := range r.Failures {
		again[f.Workload] = true
	}
	for _, f := range former.Figures {
		if !again[f.Workload] {
			all.Figures = append(all.Figures, f)
		}
	}
	for _, f := range former.Failures {
		if !again[f.Workload] {
			all.Failures = append(all.Failures, f)
		}
	}
	if len(r.Series) == 0 {
		all.Series = former.Series
	}
	return all.write(path)
}

func (r *results) write(path string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644) //nolint:gosec // a report for all
}

func readResults(path string) (*results, error) {
	text, err := os.ReadFile(path) //nolint:gosec // a report of ours
	if err != nil {
		return nil, err
	}
	r := &results{}
	return r, json.Unmarshal(text, r)
}

// median returns the median of values in any order; NaN for none.
func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile interpolates between neighbours; NaN for none.
func quantile[T cmp.Ordered](values []T, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	a, b := toFloat(sorted[low]), toFloat(sorted[high])
	return a + (b-a)*(at-float64(low))
}

func toFloat[T cmp.Ordered](v T) float64 {
	switch v := any(v).(type) {
	case float64:
		return v
	case int64:
		return float64(v)
	case time.Duration:
		return float64(v)
	default:
		return math.NaN()
	}
}
