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
	"time"
)

// bench is one run of all of it.
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
}

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := command(ctx, os.Args[1:]); err != nil {
		stop()
		log.Fatal("bench: ", err)
	}
}

func command(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("bench", flag.ExitOnError)
	b := &bench{results: &results{Started: time.Now().UTC(), Missing: map[string]string{}}}
	only := f.String("only", "", "contenders to measure, by name and divided by commas; all if empty")
	workloads := f.String("workloads", "", "what to measure, by name and divided by commas; all if empty")
	f.IntVar(&b.rounds, "rounds", 3, "how often each measurement is made")
	dir := f.String("dir", "", "where the contenders keep their data; a temporary folder if empty")
	f.StringVar(&b.source, "source", ".", "the folder of this module")
	f.StringVar(&b.profile.dir, "profile", "", "put pprof's profiles of Ringback into this folder")
	f.BoolVar(&b.verbose, "v", false, "print every flood")
	out := f.String("json", "", "write what was found to this file")
	if err := f.Parse(args); err != nil {
		return err
	}
	b.only = names(*only)
	if err := b.open(*dir); err != nil {
		return err
	}
	defer b.close()
	if err := b.install(ctx); err != nil {
		return err
	}
	for _, w := range workloadList {
		if wanted := names(*workloads); !wanted[w.name] && (len(wanted) > 0 || w.apart) {
			continue
		}
		log.Printf("== %s", w.name)
		if err := w.measure(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	b.results.Took = time.Since(b.results.Started).Round(time.Second).String()
	if *out != "" {
		return b.results.write(*out)
	}
	return nil
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

// install makes every contender ready to be started. One that can't be had is
// reported, not left out in silence.
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

// turns calls measure for each contender in each round. They take turns, and
// who begins changes from round to round. A failure is reported; the others go on.
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

// failed keeps a measurement that could not be made, and prints it.
func (b *bench) failed(workload, contender string, err error) {
	log.Printf("   %s: %s FAILED: %v", workload, contender, err)
	b.results.fail(workload, contender, err)
}

// note keeps a figure and prints it.
func (b *bench) note(workload, contender, metric, unit string, value float64) {
	log.Printf("   %-10s %-14s %-28s %12.4g %s", workload, contender, metric, value, unit)
	b.results.add(workload, contender, metric, unit, value)
}

// workload is one thing that is measured.
type workload struct {
	name    string
	measure func(ctx context.Context, b *bench) error
	apart   bool // not part of the usual run
}

var workloadList = []workload{
	{name: "core", measure: measureCore},
	{name: "flight", measure: measureFlight},
	{name: "large", measure: measureLarge},
	{name: "dead", measure: measureDead},
	{name: "backlog", measure: measureBacklog},
	{name: "finished", measure: measureFinished},
	{name: "kill", measure: measureKill},
	{name: "soak", measure: measureSoak, apart: true},
}
