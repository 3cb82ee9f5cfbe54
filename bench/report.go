package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// report writes what was found as Markdown.
func report(r *results) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Benchmarks\n")
	p("<!-- Written by `make bench` from docs/benchmarks/results.json; changes here are lost. -->\n")
	p("One program is the provider, the receiver and the load generator for every contender, on loopback,")
	p("and starts each contender as a separate process. Everything shares the same processors, so")
	p("**absolute figures mean nothing on another machine; only the ratios count.** Contenders take")
	p("turns, %s. A figure is the median of its rounds, followed by the lowest and the highest.", rounds(r))
	p("How each peer is set up, and why, is in the README of its folder: [BullMQ](../bench/bullmq),")
	p("[Celery](../bench/celery), [River](../bench/river). `make bench` writes this page.\n")
	p("## Targets\n")
	p("| | target | measured | |")
	p("|---|---|---|---|")
	for _, t := range targets {
		text, met := t.measured(r)
		verdict := "**missed**"
		if met {
			verdict = "met"
		}
		if text == notMeasured {
			verdict = "–"
		}
		p("| %s | %s | %s | %s |", t.what, t.want, text, verdict)
	}
	p("")
	p("## Contenders\n")
	p("| | |\n|---|---|")
	for _, c := range contenders {
		note := c.Title
		if why, missing := r.Missing[c.Name]; missing {
			note += " – **MISSING**: " + strings.ReplaceAll(why, "\n", " ")
		}
		p("| `%s` | %s |", c.Name, note)
	}
	p("")
	for _, w := range workloadList {
		for _, s := range w.sections {
			section(p, r, s)
		}
	}
	if len(r.Failures) > 0 {
		p("## What could not be measured\n")
		for _, f := range r.Failures {
			why, _, _ := strings.Cut(f.Why, "\n")
			p("- %s, `%s`: %s", f.Workload, f.Contender, why)
		}
		p("")
	}
	p("## What it ran on\n")
	p("The last run: %s, %s. Workloads that it did not measure are from earlier runs.\n", r.Started.Format("2 January 2006"), r.Took)
	table(p, r.Machine)
	table(p, r.Versions)
	return b.String()
}

func rounds(r *results) string {
	most := 1
	for _, f := range r.Figures {
		most = max(most, len(f.Values))
	}
	return fmt.Sprintf("in up to %d rounds", most)
}

func table(p func(string, ...any), m map[string]string) {
	p("| | |\n|---|---|")
	for _, k := range slices.Sorted(maps.Keys(m)) {
		p("| %s | %s |", k, m[k])
	}
	p("")
}

// page is a part of the report: a workload's figures and what they mean.
type page struct {
	workload string
	title    string
	about    string
	plot     string // the metric that is drawn; "" for none
}

// manyMetrics is how many fit into a line; if there are more, each has its own line.
const manyMetrics = 8

func section(p func(string, ...any), r *results, s page) {
	var metrics []string
	units := map[string]string{}
	for _, f := range r.Figures {
		if f.Workload != s.workload {
			continue
		}
		if !slices.Contains(metrics, f.Metric) {
			metrics = append(metrics, f.Metric)
		}
		units[f.Metric] = f.Unit
	}
	if len(metrics) == 0 {
		return
	}
	p("## %s\n", s.title)
	p("%s\n", s.about)
	if s.plot != "" {
		p("![%s](benchmarks/%s)\n", s.title, s.file())
	}
	rows := r.rows(s.workload)
	if len(rows) == 1 || len(metrics) > manyMetrics {
		upright(p, r, s, rows, metrics, units)
		return
	}
	head, line := "| |", "|---|"
	for _, m := range metrics {
		head += fmt.Sprintf(" %s, %s |", m, units[m])
		line += "---:|"
	}
	p("%s\n%s", head, line)
	for _, name := range rows {
		row := "| `" + name + "` |"
		for _, m := range metrics {
			row += " " + cell(r.find(s.workload, name, m)) + " |"
		}
		p("%s", row)
	}
	p("")
}

// upright writes a table with a line for each metric.
func upright(p func(string, ...any), r *results, s page, names, metrics []string, units map[string]string) {
	head, line := "| |", "|---|"
	for _, name := range names {
		head += " `" + name + "` |"
		line += "---:|"
	}
	p("%s\n%s", head, line)
	for _, m := range metrics {
		row := "| " + m + " |"
		for _, name := range names {
			row += strings.TrimRight(" "+cell(r.find(s.workload, name, m))+" "+units[m], " ") + " |"
		}
		p("%s", row)
	}
	p("")
}

func (s page) file() string {
	return strings.NewReplacer(" ", "-", ",", "").Replace(s.workload) + ".svg"
}

func cell(f *figure) string {
	if f == nil {
		return "–"
	}
	if len(f.Values) == 1 {
		return short(f.Values[0])
	}
	return fmt.Sprintf("%s <sub>%s–%s</sub>", short(median(f.Values)), short(slices.Min(f.Values)), short(slices.Max(f.Values)))
}

// short writes a number with three significant digits.
func short(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case a >= 100:
		return thousands(int64(math.Round(v)))
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
