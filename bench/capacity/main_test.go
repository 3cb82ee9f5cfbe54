package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A run of the bench with round figures: 0.5 ms a job, 1 ms more for 10 s of
// streaming, 50 KB in flight, 50 MB for nothing, and 4,000 jobs a second.
const roundRun = `{"figures":[
	{"workload":"throughput","contender":"ringback","metric":"processor","values":[0.4,0.5,0.9]},
	{"workload":"throughput","contender":"ringback","metric":"jobs","values":[4000]},
	{"workload":"throughput","contender":"null","metric":"jobs","values":[9000]},
	{"workload":"in flight 10000","contender":"ringback","metric":"memory a job","values":[50]},
	{"workload":"in flight 10000","contender":"ringback","metric":"peak memory","values":[550]},
	{"workload":"in flight 10000","contender":"ringback","metric":"processor","values":[1.5]},
	{"workload":"1,000,000 finished","contender":"ringback","metric":"disk for a job","values":[5.5]}]}`

func capacity(t *testing.T, args ...string) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "results.json")
	if err := os.WriteFile(path, []byte(roundRun), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	err := run(append([]string{"-from", path}, args...), &out)
	return out.String(), err
}

func TestALoadIsWorkedOut(t *testing.T) {
	t.Parallel()
	out, err := capacity(t, "-rate", "1000", "-answer", "20s")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"jobs at the provider at once         2e+04",
		"processors in use at the peak        2.5", // 0.5 ms and 20 times 0.1 ms
		"memory for jobs in flight            1 GB",
		"nodes                                2 with 4 processors and 8 GB (processors)",
		"PostgreSQL",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
}

func TestASmallLoadNeedsOneNode(t *testing.T) {
	t.Parallel()
	out, err := capacity(t, "-rate", "10")
	if err != nil || !strings.Contains(out, "one is enough") || !strings.Contains(out, "the embedded one") {
		t.Errorf("got %v:\n%s", err, out)
	}
}

func TestOwnFiguresComeFirst(t *testing.T) {
	t.Parallel()
	out, err := capacity(t, "-in-flight", "1000000", "-answer", "30s", "-flight-kb", "20")
	if err != nil || !strings.Contains(out, "memory for jobs in flight            20 GB") || !strings.Contains(out, "jobs a second at the peak            3.333e+04") {
		t.Errorf("got %v:\n%s", err, out)
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"-rate", "-1"}, {"-rate", "1", "-answer", "0s"}, {"-rate", "1", "-from", "nowhere.json"}} {
		if out, err := capacity(t, args...); err == nil {
			t.Errorf("%v: got %s, want an error", args, out)
		}
	}
}

func TestContentIsCompressedFromAPageOn(t *testing.T) {
	t.Parallel()
	small, large := load{prompt: 100, text: 100}, load{prompt: 100_000, text: 100}
	if got := small.content(0.5); got != 300+700+1400*0.5 {
		t.Errorf("small: got %v, want the webhook compressed and the others as they are", got)
	}
	if got := large.content(0.5); got != 100_200*0.5+700+1400*0.5 {
		t.Errorf("large: got %v, want half of the prompt", got)
	}
}
