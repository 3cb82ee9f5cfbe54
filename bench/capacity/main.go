// Command capacity says what it takes to run Ringback for a given load: nodes,
// memory, disk. It knows no more than a few figures of one job, which the bench
// measured (docs/benchmarks.md) and each flag replaces with your own, and three
// laws: jobs in flight are the rate times the time that each takes; processors
// are the rate times the processor's time of each; disk is the rate times what
// each leaves times how long it is kept.
//
//	go run ./capacity -rate 10 -answer 20s
package main

import (
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"time"
)

// load is what is asked for, and what one job costs.
type load struct {
	rate     float64       // jobs a second, at the peak
	answer   time.Duration // that a provider takes for one
	inFlight float64       // jobs at the provider at once; 0: from rate and answer
	prompt   float64       // bytes
	text     float64       // bytes of an answer
	results  time.Duration // how long contents are kept
	rows     time.Duration // how long rows are kept after that
	average  float64       // of the rate over a day, as a share of its peak

	job     float64 // processor milliseconds of a job with a short answer
	second  float64 // further processor milliseconds for each second of streaming
	flight  float64 // bytes of memory for each job in flight
	base    float64 // bytes of memory of an idle node
	row     float64 // bytes on disk that stay of a job when its content is gone
	shrink  float64 // what is left of text when it is compressed
	cores   float64 // of a node
	memory  float64 // bytes of a node
	busy    float64 // share of its processors that a node should use at the peak
	streams float64 // that one node should hold: ports and descriptors bound it
}

func main() {
	l := load{}
	f := flag.CommandLine
	f.Float64Var(&l.rate, "rate", 0, "jobs a second at the peak; 0: from -in-flight and -answer")
	f.DurationVar(&l.answer, "answer", 20*time.Second, "how long a provider takes for one answer")
	f.Float64Var(&l.inFlight, "in-flight", 0, "jobs at the provider at once; 0: from -rate and -answer")
	f.Float64Var(&l.prompt, "prompt", 4000, "bytes of a prompt")
	f.Float64Var(&l.text, "text", 2000, "bytes of an answer's text")
	f.DurationVar(&l.results, "results", 24*time.Hour, "result_ttl: how long prompts and answers are kept")
	f.DurationVar(&l.rows, "rows", 30*24*time.Hour, "how long rows are kept after that")
	f.Float64Var(&l.average, "average", 0.3, "the day's average rate, as a share of the peak")
	f.Float64Var(&l.job, "job-ms", 0.6, "processor milliseconds of a job whose answer comes at once")
	f.Float64Var(&l.second, "second-ms", 0.05, "further processor milliseconds for each second that an answer streams")
	f.Float64Var(&l.flight, "flight-kb", 45, "KB of memory for each job in flight")
	f.Float64Var(&l.base, "base-mb", 60, "MB of memory of an idle node")
	f.Float64Var(&l.row, "row-kb", 1.2, "KB on disk that stay of a job when its content is gone")
	f.Float64Var(&l.shrink, "shrink", 0.5, "what is left of prompts and answers when they are compressed")
	f.Float64Var(&l.cores, "cores", 4, "processors of a node")
	f.Float64Var(&l.memory, "memory-gb", 8, "GB of memory of a node")
	f.Float64Var(&l.busy, "busy", 0.5, "share of its processors that a node may use at the peak")
	f.Float64Var(&l.streams, "streams", 25000, "streams to providers that a node may hold")
	flag.Parse()
	l.flight, l.base, l.row, l.memory = l.flight*1e3, l.base*1e6, l.row*1e3, l.memory*1e9
	if l.rate <= 0 && l.inFlight <= 0 {
		fmt.Fprintln(os.Stderr, "capacity: give -rate, -in-flight or both")
		os.Exit(2)
	}
	l.plan().print(os.Stdout)
}

// plan is what a load takes.
type plan struct {
	load

	processors  float64
	memory      float64 // bytes, without the nodes' base
	contentDisk float64 // bytes
	rowDisk     float64 // bytes
	writes      float64 // bytes a second to the write-ahead log
	nodes       float64
	bound       string // what makes it so many
}

// plan works it out.
func (l load) plan() plan {
	if l.inFlight == 0 {
		l.inFlight = l.rate * l.answer.Seconds()
	}
	if l.rate == 0 {
		l.rate = l.inFlight / l.answer.Seconds()
	}
	p := plan{load: l}
	p.processors = l.rate * (l.job + l.second*l.answer.Seconds()) / 1000
	p.memory = l.inFlight * l.flight
	content := l.content()
	p.contentDisk = l.rate * l.average * l.results.Seconds() * content
	p.rowDisk = l.rate * l.average * (l.results + l.rows).Seconds() * l.row
	p.writes = l.rate * (2*content + 3*l.row)
	p.nodes, p.bound = 1, "one is enough"
	for _, need := range []struct {
		nodes float64
		what  string
	}{
		{p.processors / (l.cores * l.busy), "processors"},
		{p.memory / (l.memory*0.7 - l.base), "memory"},
		{l.inFlight / l.streams, "streams"},
	} {
		if n := math.Ceil(need.nodes); n > p.nodes {
			p.nodes, p.bound = n, need.what
		}
	}
	return p
}

// content is the bytes of a job's content on disk: the request, the answer, and
// the webhook, which has the answer's text twice (as text, and in the provider's
// own message). What has less than 1 KiB is not compressed.
func (l load) content() float64 {
	const around = 600 // JSON around the text
	var all float64
	for _, size := range []float64{l.prompt + around/3, l.text + around, 2*l.text + 2*around} {
		if size > 1024 {
			size *= l.shrink
		}
		all += size
	}
	return all
}

func (p plan) print(w io.Writer) {
	row := func(what, format string, args ...any) {
		_, _ = fmt.Fprintf(w, "%-34s %s\n", what, fmt.Sprintf(format, args...))
	}
	row("jobs a second at the peak", "%.4g", p.rate)
	row("jobs at the provider at once", "%.4g", p.inFlight)
	row("processors in use at the peak", "%.2g", p.processors)
	row("memory for jobs in flight", "%s", size(p.memory))
	row("written to the store, a second", "%s", size(p.writes))
	row("disk for prompts and answers", "%s  (%s)", size(p.contentDisk), p.results)
	row("disk for rows", "%s  (%s more)", size(p.rowDisk), p.rows)
	row("nodes", "%.0f of %.0f processors and %s (%s)", p.nodes, p.cores, size(p.load.memory), p.bound)
}

func size(bytes float64) string {
	for _, unit := range []string{"B", "KB", "MB", "GB", "TB"} {
		if bytes < 1000 || unit == "TB" {
			return fmt.Sprintf("%.3g %s", bytes, unit)
		}
		bytes /= 1000
	}
	return ""
}
