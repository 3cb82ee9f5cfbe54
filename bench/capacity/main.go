// Command capacity says what it takes to run Ringback for a given load: nodes, memory,
// disk. It reads what one job costs from a run of the bench, or from flags with your own
// measurements, and applies three laws: jobs in flight are the rate times the duration of
// each; processors are the rate times the processor time of each; disk is the rate times
// what each leaves times how long it is kept.
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

// load is the required load.
type load struct {
	rate     float64       // jobs a second, at the peak
	answer   time.Duration // that a provider takes for one
	inFlight float64       // jobs at the provider at once
	prompt   float64       // bytes
	text     float64       // bytes of an answer's text
	results  time.Duration // how long contents are kept
	rows     time.Duration // how long rows are kept after that
	average  float64       // the day's rate, as a share of the peak
}

// cost is what one job takes.
type cost struct {
	job    float64 // processor milliseconds, with an answer that comes at once
	second float64 // further processor milliseconds for each second of streaming
	flight float64 // bytes of memory while it is in flight
	base   float64 // bytes of memory of an idle node
	row    float64 // bytes on disk that stay when its content is gone
	shrink float64 // what is left of text when it is compressed
	writer float64 // jobs a second that one store takes
}

// node is the machine to run on.
type node struct {
	cores   float64
	memory  float64 // bytes
	busy    float64 // share of its processors that may be in use at the peak
	streams float64 // to providers: ports and descriptors bound them
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "capacity:", err)
		os.Exit(2)
	}
}

func run(args []string, out io.Writer) error {
	f := flag.NewFlagSet("capacity", flag.ContinueOnError)
	var l load
	f.Float64Var(&l.rate, "rate", 0, "jobs a second at the peak; 0: from -in-flight and -answer")
	f.Float64Var(&l.inFlight, "in-flight", 0, "jobs at the provider at once; 0: from -rate and -answer")
	f.DurationVar(&l.answer, "answer", 20*time.Second, "how long a provider takes for one answer")
	f.Float64Var(&l.prompt, "prompt", 4000, "bytes of a prompt")
	f.Float64Var(&l.text, "text", 2000, "bytes of an answer's text")
	f.DurationVar(&l.results, "results", 24*time.Hour, "result_ttl_seconds: how long prompts and answers are kept")
	f.DurationVar(&l.rows, "rows", 30*24*time.Hour, "how long rows are kept after that")
	f.Float64Var(&l.average, "average", 0.3, "the day's average rate, as a share of the peak")
	var n node
	f.Float64Var(&n.cores, "cores", 4, "processors of a node")
	f.Float64Var(&n.memory, "memory-gb", 8, "GB of memory of a node")
	f.Float64Var(&n.busy, "busy", 0.5, "share of its processors that may be in use at the peak")
	f.Float64Var(&n.streams, "streams", 25000, "streams to providers that a node may hold")
	from := f.String("from", "../docs/benchmarks/results.json", "a run of the bench, for what a job costs")
	own := map[string]*float64{}
	for name, usage := range ownFigures {
		own[name] = f.Float64(name, 0, usage+"; 0: as the bench measured")
	}
	if err := f.Parse(args); err != nil {
		return err
	}
	c, err := measured(*from)
	if err != nil {
		return err
	}
	c.replace(own)
	n.memory *= 1e9
	if l.rate <= 0 && l.inFlight <= 0 {
		return fmt.Errorf("-rate or -in-flight must be more than 0, or both")
	}
	if l.answer <= 0 {
		return fmt.Errorf("-answer must be more than 0")
	}
	work(l, c, n).print(out)
	return nil
}

// ownFigures are figures that users may have measured themselves.
var ownFigures = map[string]string{
	"job-ms":    "processor milliseconds of a job whose answer comes at once",
	"second-ms": "further processor milliseconds for each second that an answer streams",
	"flight-kb": "KB of memory for each job in flight",
	"row-kb":    "KB on disk that stay of a job when its content is gone",
	"shrink":    "what is left of prompts and answers when they are compressed, 0 to 1",
	"writer":    "jobs a second that one embedded store takes on this kind of node",
}

func (c *cost) replace(own map[string]*float64) {
	for name, to := range map[string]struct {
		field *float64
		unit  float64
	}{
		"job-ms": {&c.job, 1}, "second-ms": {&c.second, 1}, "flight-kb": {&c.flight, 1e3},
		"row-kb": {&c.row, 1e3}, "shrink": {&c.shrink, 1}, "writer": {&c.writer, 1},
	} {
		if v := *own[name]; v > 0 {
			*to.field = v * to.unit
		}
	}
}

// plan is what a load takes.
type plan struct {
	load
	node

	processors float64
	ram        float64 // bytes for jobs in flight
	content    float64 // bytes of disk
	rowsDisk   float64 // bytes of disk
	nodes      float64
	bound      string // what determines the number
	stores     float64
}

// work computes the plan.
func work(l load, c cost, n node) plan {
	if l.inFlight == 0 {
		l.inFlight = l.rate * l.answer.Seconds()
	}
	if l.rate == 0 {
		l.rate = l.inFlight / l.answer.Seconds()
	}
	p := plan{load: l, node: n, nodes: 1, bound: "one is enough"}
	content := l.content(c.shrink)
	p.processors = l.rate * (c.job + c.second*l.answer.Seconds()) / 1000
	p.ram = l.inFlight * c.flight
	p.content = l.rate * l.average * l.results.Seconds() * content
	p.rowsDisk = l.rate * l.average * (l.results + l.rows).Seconds() * c.row
	p.stores = math.Ceil(l.rate / (c.writer * n.busy))
	for _, need := range []struct {
		nodes float64
		what  string
	}{
		{p.processors / (n.cores * n.busy), "processors"},
		{p.ram / (n.memory*0.7 - c.base), "memory"},
		{l.inFlight / n.streams, "streams"},
	} {
		if n := math.Ceil(need.nodes); n > p.nodes {
			p.nodes, p.bound = n, need.what
		}
	}
	return p
}

// content returns the bytes of a job's content on disk: the request, the answer, and the
// webhook, which has the answer's text twice (as text, and in the provider's own message).
// Less than 1 KiB is not compressed.
func (l load) content(shrink float64) (all float64) {
	const around, compressed = 600, 1024 // JSON around the text
	for _, size := range []float64{l.prompt + around/3, l.text + around, 2*l.text + 2*around} {
		if size > compressed {
			size *= shrink
		}
		all += size
	}
	return all
}

func (p plan) print(w io.Writer) {
	row := func(what, format string, args ...any) {
		_, _ = fmt.Fprintf(w, "%-36s %s\n", what, fmt.Sprintf(format, args...))
	}
	row("jobs a second at the peak", "%.4g", p.rate)
	row("jobs at the provider at once", "%.4g", p.inFlight)
	row("processors in use at the peak", "%.2g", p.processors)
	row("memory for jobs in flight", "%s", size(p.ram))
	row("disk for prompts and answers", "%s (kept for %s)", size(p.content), p.results)
	row("disk for rows", "%s (kept for %s more)", size(p.rowsDisk), p.rows)
	row("nodes", "%.0f with %.0f processors and %s (%s)", p.nodes, p.cores, size(p.memory), p.bound)
	switch {
	case p.stores > 1:
		row("store", "PostgreSQL: it is %.0f times what one embedded store takes", p.stores)
	case p.nodes > 1:
		row("store", "PostgreSQL, which several nodes can share")
	default:
		row("store", "the embedded one")
	}
}

func size(bytes float64) string {
	units := []string{"B", "KB", "MB", "GB", "TB", "PB"}
	for bytes >= 1000 && len(units) > 1 {
		bytes, units = bytes/1000, units[1:]
	}
	return fmt.Sprintf("%.3g %s", bytes, units[0])
}
