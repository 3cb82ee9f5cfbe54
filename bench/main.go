package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bench is one run of everything.
type bench struct {
	source  string // this module's folder
	dir     string // for everything that is made here and thrown away
	world   *world
	results *results
	rounds  int
	present []contender // that could be installed
	only    map[string]bool
	profile profiler
	verbose bool
	out     string  // the file of the results; "" for none
	docs    string  // the folder of the report; "" for none
	seconds float64 // that a measurement of the core takes, about
}

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, os.Args[1:]); err != nil {
		stop()
		log.Fatal("bench: ", err)
	}
}

func command(ctx context.Context, args []string) error {
	if len(args) == 5 && args[0] == floor {
		return writeFloor(args[1:])
	}
	f := flag.NewFlagSet("bench", flag.ExitOnError)
	b := &bench{seconds: 2.5, results: &results{Started: time.Now().UTC(), Missing: map[string]string{}}}
	only := f.String("only", "", "contenders to measure, by name and divided by commas; all if empty")
	workloads := f.String("workloads", "", "what to measure, by name and divided by commas; all if empty")
	f.IntVar(&b.rounds, "rounds", 3, "how often each measurement is made")
	dir := f.String("dir", "", "where the contenders keep their data; a temporary folder if empty")
	f.StringVar(&b.source, "source", ".", "the folder of this module")
	f.StringVar(&b.profile.dir, "profile", "", "put pprof's profiles of Ringback into this folder")
	f.BoolVar(&b.verbose, "v", false, "print every flood")
	out := f.String("json", "", "write what was found to this file, and keep of it what was not measured now")
	before := f.String("before", "", "a ringback binary to be measured too, as the contender \"before\"")
	isQuick := f.Bool("quick", false, "compare Ringback with the ceiling and with what the last commit reached, in about a minute")
	docs := f.String("docs", "", "write benchmarks.md and its plots into this folder, from the file of --json")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *before != "" {
		contenders = append(contenders, former(*before))
	}
	if *isQuick {
		return quick(ctx, b)
	}
	b.only = names(*only)
	b.out, b.docs = *out, *docs
	if *workloads == "none" {
		return b.publish()
	}
	return b.measure(ctx, *dir, names(*workloads))
}

// measure makes the measurements that are wanted; if none is named, all but those apart.
func (b *bench) measure(ctx context.Context, dir string, wanted map[string]bool) error {
	if err := b.open(dir); err != nil {
		return err
	}
	defer b.close()
	if err := b.install(ctx); err != nil {
		return err
	}
	b.describe(ctx)
	for _, w := range workloadList {
		if !wanted[w.name] && (len(wanted) > 0 || w.apart) {
			continue
		}
		log.Printf("== %s", w.name)
		if err := w.measure(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.results.Took = time.Since(b.results.Started).Round(time.Second).String()
		if err := b.publish(); err != nil {
			return err
		}
	}
	return nil
}

// publish writes what was found so far into the files that were asked for.
func (b *bench) publish() error {
	if b.out == "" {
		return nil
	}
	if err := b.results.keep(b.out); err != nil {
		return err
	}
	if b.docs == "" {
		return nil
	}
	return publish(b.out, b.docs)
}

// publish writes the report and its plots.
func publish(from, docs string) error {
	r, err := readResults(from)
	if err != nil {
		return err
	}
	plots := filepath.Join(docs, "benchmarks")
	for _, w := range workloadList {
		for _, s := range w.sections {
			if s.plot == "" {
				continue
			}
			if err := s.draw(r, plots); err != nil {
				return fmt.Errorf("plot %s: %w", s.workload, err)
			}
		}
	}
	for _, s := range r.Series {
		if err := s.draw(plots); err != nil {
			return fmt.Errorf("plot %s: %w", s.Name, err)
		}
	}
	return os.WriteFile(filepath.Join(docs, "benchmarks.md"), []byte(report(r)), 0o644) //nolint:gosec // for all
}

func names(list string) map[string]bool {
	set := map[string]bool{}
	for name := range strings.SplitSeq(list, ",") {
		if name != "" {
			set[name] = true
		}
	}
	return set
}

func (b *bench) open(dir string) (err error) {
	if b.source, err = filepath.Abs(b.source); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp(dir, "ringback-bench-"); err != nil {
		return err
	}
	if err := os.Chmod(b.dir, 0o755); err != nil { //nolint:gosec // PostgreSQL runs as somebody else
		return err
	}
	b.world, err = newWorld()
	return err
}

func (b *bench) close() {
	b.world.close()
	_ = os.RemoveAll(b.dir)
}

// install makes every contender ready to be started. One that is not available is reported,
// not silently left out.
func (b *bench) install(ctx context.Context) error {
	for _, c := range contenders {
		if len(b.only) > 0 && !b.only[c.Name] {
			continue
		}
		if err := b.installOne(ctx, c); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			log.Printf("%s is MISSING: %v", c.Name, err)
			b.results.Missing[c.Name] = err.Error()
			continue
		}
		b.present = append(b.present, c)
	}
	return nil
}

func (b *bench) installOne(ctx context.Context, c contender) error {
	if c.service != nil {
		if why := c.service.missing(); why != "" {
			return errors.New(why)
		}
	}
	return c.install(ctx, b)
}

// build makes a Go program.
func (b *bench) build(ctx context.Context, module, name, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", b.tags(), "-o", b.binary(name), pkg) //nolint:gosec // names of ours
	cmd.Dir = filepath.Join(b.source, module)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", name, err, out)
	}
	return nil
}

func (b *bench) tags() string {
	if b.profile.dir == "" {
		return ""
	}
	return "profile"
}

func (b *bench) binary(name string) string { return filepath.Join(b.dir, "bin-"+name) }

// quietly runs a command whose output matters only if it fails.
func (b *bench) quietly(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // commands of ours
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %.500s", strings.Join(args, " "), err, out)
	}
	return nil
}

// turns calls measure for each contender in each round. A different one begins each round.
// A failure is reported; the others continue.
func (b *bench) turns(ctx context.Context, workload string, among []contender, measure func(ctx context.Context, c contender) error) {
	for round := range b.rounds {
		order := slices.Concat(among[round%max(1, len(among)):], among[:round%max(1, len(among))])
		for _, c := range order {
			if ctx.Err() != nil {
				return
			}
			if err := measure(ctx, c); err != nil {
				b.failed(workload, c.Name, err)
			}
		}
	}
}

// failed records a measurement that could not be made, and prints it.
func (b *bench) failed(workload, contender string, err error) {
	log.Printf("   %s: %s FAILED: %v", workload, contender, err)
	b.results.fail(workload, contender, err)
}

// note records a figure and prints it.
func (b *bench) note(workload, contender, metric, unit string, value float64) {
	log.Printf("   %-10s %-14s %-28s %12.4g %s", workload, contender, metric, value, unit)
	b.results.add(workload, contender, metric, unit, value)
}

// workload is one thing that is measured.
type workload struct {
	name     string
	measure  func(ctx context.Context, b *bench) error
	apart    bool   // not part of the usual run
	sections []page // of the report
}

var workloadList = []workload{
	{name: "core", measure: measureCore, sections: []page{
		{throughput, "Throughput", "End to end: 50 submitters continue as soon as they have their `202`, the provider responds at once, and\nthe clock runs from the first submission to the last webhook. Prompts are 1 KB, answers 500 bytes in 20\npieces. Processor time is that of the contender with its database, without the benchmark itself. `null` and\n`ringback` always read the answer as a stream. The peers request a plain answer here, as their code usually does,\nwhich is less work.", "jobs"},
		{latency, "The `202`", "How long a submission waits for its `202`, at half of the contender's throughput. Callers arrive at a fixed rate,\nwhether or not earlier ones have been served. So fast contenders are tested at a higher rate than slow ones.", "202 p50"},
		{overhead, "Overhead at low load", "20 jobs a second, each taking 200 ms at the provider. The overhead is the rest of the time from submission to webhook.\nContenders whose `202` is on disk are also measured at 50 a second.", "p50"},
	}},
	{name: "flight", measure: measureFlight, sections: []page{
		{flightName(2000), "2,000 in flight", inFlight, "memory a job"},
		{flightName(10000), "10,000 in flight", inFlight, "memory a job"},
	}},
	{name: "large", measure: measureLarge, sections: []page{
		{large, "Large bodies", "Prompts of 1 MiB and answers of 200 KiB, as fast as they are accepted.", "jobs"},
	}},
	{name: "dead", measure: measureDead, sections: []page{
		{deadReceiver, "One dead receiver among ten", "Ten receivers, one of which accepts connections and never responds. Jobs arrive at half of the contender's\nthroughput, at most 400 a second. The figures are for the nine others: the time from submission to webhook.\nA webhook that has not arrived 15 s after the last submission counts as 15 s.", "one dead: p99 of the nine"},
	}},
	{name: "backlog", measure: measureBacklog, sections: []page{
		{backlog, "1,000,000 queued", "A start with a million queued jobs in the store, and how fast they are processed. Memory is that of Ringback's\nown process.", ""},
	}},
	{name: "finished", measure: measureFinished, sections: []page{
		{finished, "1,000,000 finished", "Throughput with a million finished jobs in the store and with an empty one, in turns. PostgreSQL's tables have been\nvacuumed and analyzed, as they would be some time after the last of those jobs.", ""},
	}},
	{name: "kill", measure: measureKill, sections: []page{
		{killed, "After `kill -9`", "Ten jobs are at the provider (3 s each) when all of the contender's own processes are killed; its\ndatabase keeps running. They are started again at once, with their defaults.\nFor `ringback-pg-2`, the node with the ten jobs is killed and not started again: the other node has to take them over.", ""},
	}},
	{name: "live", measure: measureLive, sections: []page{
		{live, "Live", "The time from the moment the provider writes a piece of an answer until a reader has read its event, over server-sent\nevents. `direct` reads the provider's own stream, with nothing in between: the ceiling. `floor` is a process that only\nwrites a prepared text to 1,000 connections: the cost of the operating system and of the readers themselves. For\n`ringback-pg-2`, readers connect to the node that does not run the job. One job with one reader has 50 pieces a second. 1,000 jobs\nwith a reader each have 10 pieces a second each, 10,000 in all. One job with 1,000 readers has 10 pieces a second, so 10,000 events;\nits pieces are due for all readers at once, and the last reader waits for the others. Every reader's text matched the answer. Finally, 2,000\nreaders request a finished job at once: the time until all of them have read all of it, in 100 pieces.", "one job: p50"},
	}},
	{name: "idle", measure: measureIdle, sections: []page{
		{idle, "10,000 idle readers", "Each reader watches its own job, which is not due for a day. Half of them disappear at once, then the others. Figures are for\nRingback's own process. Throughput is measured as above: before they come, while they are there, and after they left.", ""},
	}},
	{name: "soak", measure: measureSoak, apart: true, sections: []page{
		{soaked, "Soak", "Ten minutes at a third of Ringback's throughput (`make soak`).\n\n![memory](benchmarks/soak-memory.svg)\n![goroutines](benchmarks/soak-goroutines.svg)\n![descriptors](benchmarks/soak-descriptors.svg)\n![write-ahead log](benchmarks/soak-write-ahead-log.svg)", ""},
	}},
}

const inFlight = "So many jobs at once at a provider that streams for 10 s. Memory is the peak above that of the idle\ncontender, with its database. Overhead is the time from the `202` to the webhook, excluding\nthe time at the provider."
