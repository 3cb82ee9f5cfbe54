package main

import (
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The whole way, short: both contenders that need only Go are built, started, measured and
// reported on.
func TestTheBenchMeasuresAndReports(t *testing.T) {
	b := &bench{
		source: ".", rounds: 2, seconds: 0.2, only: map[string]bool{"null": true, "ringback": true},
		results: &results{Started: time.Now(), Missing: map[string]string{}},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := b.measure(ctx, t.TempDir(), map[string]bool{"core": true, "kill": true}); err != nil {
		t.Fatal(err)
	}
	for _, f := range b.results.Failures {
		t.Errorf("%s, %s: %s", f.Workload, f.Contender, f.Why)
	}
	for _, workload := range []string{throughput, latency, overhead} {
		for _, contender := range []string{"null", "ringback"} {
			if !slices.ContainsFunc(b.results.Figures, func(f figure) bool {
				return f.Workload == workload && f.Contender == contender && len(f.Values) == 2 && f.Values[0] > 0
			}) {
				t.Errorf("%s of %s was not measured twice", workload, contender)
			}
		}
	}
	if back := b.results.median(killed, "ringback", "came back within 75 s"); back != interrupted {
		t.Errorf("after the kill: %v of %d jobs came back", back, interrupted)
	}
	docs := t.TempDir()
	if err := os.Mkdir(filepath.Join(docs, "benchmarks"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(docs, "results.json")
	if err := b.results.keep(file); err != nil {
		t.Fatal(err)
	}
	if err := publish(file, docs); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(docs, "benchmarks.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| throughput, to the ceiling (null) |", "![Throughput](benchmarks/throughput.svg)", "not measured"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("%q is missing in the report:\n%s", want, page)
		}
	}
	if _, err := os.Stat(filepath.Join(docs, "benchmarks", "throughput.svg")); err != nil {
		t.Error(err)
	}
}

// Readers of a few jobs, of the provider and of Ringback alike, in each shape.
func TestReadersAreMeasured(t *testing.T) {
	b := &bench{source: ".", seconds: 0.2, results: &results{Missing: map[string]string{}}, only: map[string]bool{"ringback": true, "ringback-pg-2": true}}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := b.open(""); err != nil { // PostgreSQL, which runs as another user, must be able to enter it
		t.Fatal(err)
	}
	defer b.close()
	if err := b.install(ctx); err != nil {
		t.Fatal(err)
	}
	all := []shape{
		{name: "few jobs", jobs: 5, readers: 1, perSecond: 100, behaviour: behaviour{pause: 300 * time.Millisecond, stream: 300 * time.Millisecond, pieces: 10, size: 250}, cost: perJob},
		{name: "few readers", jobs: 1, readers: 5, perSecond: 1, behaviour: behaviour{pause: 300 * time.Millisecond, stream: 300 * time.Millisecond, pieces: 10, size: 250}, cost: perEvent},
	}
	over := shape{name: storm, jobs: 1, readers: 20, perSecond: 1, behaviour: behaviour{pieces: 10, size: 250}}
	if err := b.direct(ctx, all, over); err != nil {
		t.Errorf("direct: %v", err)
	}
	err := b.floor(ctx, all[1], func(_ context.Context, addr string, s shape) error {
		return writeTexts(addr, s.readers, s.behaviour.pieces, time.Millisecond)
	})
	if err != nil {
		t.Errorf("floor: %v", err)
	}
	if v := b.results.median(live, floor, "few readers: p50"); !(v > 0) {
		t.Errorf("the floor is %v", v)
	}
	for _, c := range b.present {
		if err := b.live(ctx, c, all, over); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
	for _, contender := range []string{direct, "ringback", "ringback-pg-2"} {
		for _, metric := range []string{"few jobs: p50", "few readers: p50", storm} {
			if v := b.results.median(live, contender, metric); !(v > 0) {
				t.Errorf("%s of %s: got %v", metric, contender, v)
			}
		}
	}
	if err := b.withStores(func(c contender) error { return b.idle(ctx, c, 100) }, idle); err != nil {
		t.Error(err)
	}
	before := b.results.median(idle, "ringback", "descriptors before")
	with, after := b.results.median(idle, "ringback", "descriptors with them")-before, b.results.median(idle, "ringback", "descriptors when all have left")-before
	if with < 60 || after > 40 { // connections to the provider come and go
		t.Errorf("100 readers had %v descriptors, and left %v", with, after)
	}
	for _, f := range b.results.Failures {
		t.Errorf("%s, %s: %s", f.Workload, f.Contender, f.Why)
	}
}

func TestAReaderKnowsTheAnswer(t *testing.T) {
	t.Parallel()
	w := &world{}
	r := w.begin(behaviour{stream: time.Second, pieces: 2, size: 4}, 1, 1)
	r.written[0].Store(10)
	r.written[1].Store(20)
	read := func(events ...string) ([]int64, error) {
		rd := &reader{from: 15}
		for i, e := range events {
			rd.seen = append(rd.seen, arrival{at: int64(100 * (i + 1)), data: []byte(e)})
		}
		return rd.late(r, 0)
	}
	const torn, again, th, e = `{"type":"job.delta","kind":"text","text":"th"}`, `{"type":"job.retrying"}`,
		`{"type":"job.delta","kind":"text","text":"th"}`, `{"type":"content_block_delta","delta":{"text":"e "}}`
	if late, err := read(torn, again, th, e); err != nil || !slices.Equal(late, []int64{380}) {
		t.Errorf("got %v and %v, want the second piece after 380, for the first was there before the reader", late, err)
	}
	if _, err := read(torn, th, e); err == nil {
		t.Error("a text that is not the answer passes")
	}
}

func TestAContenderThatCannotBeInstalledIsReported(t *testing.T) {
	b := &bench{source: ".", results: &results{Missing: map[string]string{}}, only: map[string]bool{"bullmq": true}}
	t.Setenv("PATH", t.TempDir())
	if err := b.install(t.Context()); err != nil {
		t.Fatal(err)
	}
	if why := b.results.Missing["bullmq"]; !strings.Contains(why, "redis-server is missing") {
		t.Errorf("missing: got %q, want what it is and how to get it", why)
	}
	if page := report(b.results); !strings.Contains(page, "**MISSING**: redis-server is missing") {
		t.Errorf("the report does not say so:\n%s", page)
	}
}

func TestARatioIsOfTheSameRound(t *testing.T) {
	t.Parallel()
	r := &results{}
	for _, v := range []float64{10, 100, 1000} { // a machine that changes its mind
		r.add(throughput, "ringback", "jobs", "/s", v)
		r.add(throughput, "null", "jobs", "/s", 2*v)
	}
	if got := r.ratio(throughput, "jobs", "ringback", "null"); got != 0.5 {
		t.Errorf("got %v, want 0.5", got)
	}
	if got := r.ratio(throughput, "jobs", "ringback", "river"); !math.IsNaN(got) {
		t.Errorf("of what was not measured: got %v", got)
	}
}

func TestWhatWasNotMeasuredAgainIsKept(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "results.json")
	first := &results{Machine: map[string]string{}}
	first.add(soaked, "ringback", "jobs", "", 7)
	first.add(throughput, "ringback", "jobs", "/s", 1)
	second := &results{Machine: map[string]string{}}
	second.add(throughput, "ringback", "jobs", "/s", 2)
	for _, r := range []*results{first, second} {
		if err := r.keep(file); err != nil {
			t.Fatal(err)
		}
	}
	got, err := readResults(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.median(soaked, "ringback", "jobs") != 7 || got.median(throughput, "ringback", "jobs") != 2 {
		t.Errorf("got %+v, want the soak of the first run and the throughput of the second", got.Figures)
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values  []float64
		q, want float64
	}{
		{[]float64{3, 1, 2}, 0.5, 2},
		{[]float64{4, 1, 3, 2}, 0.5, 2.5},
		{[]float64{1, 2}, 1, 2},
		{[]float64{5}, 0.99, 5},
	} {
		if got := quantile(c.values, c.q); got != c.want {
			t.Errorf("%v at %v: got %v, want %v", c.values, c.q, got, c.want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("of none: got %v", got)
	}
}

func TestShort(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0.123: "0.12", 12.34: "12.3", 123.4: "123", 1234567: "1,234,567", math.NaN(): "–"} {
		if got := short(v); got != want {
			t.Errorf("%v: got %s, want %s", v, got, want)
		}
	}
}

// The provider knows which job a call is for, streams or not as it was asked, and counts
// repeated calls.
func TestTheProviderTellsJobsApart(t *testing.T) {
	t.Parallel()
	w := &world{}
	r := w.begin(atOnce, 3, 3)
	ask := func(body string) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		w.answer(rec, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/messages", strings.NewReader(body)))
		return rec
	}
	if got := ask(`{"stream":true,"messages":[{"role":"user","content":"job number 2 and more"}]}`).Body.String(); !strings.HasSuffix(got, "message_stop\"}\n\n") {
		t.Errorf("streamed: got %q", got)
	}
	if got := ask(`{"messages":[{"role":"user","content":"job number 2 and more"}]}`).Body.String(); !strings.Contains(got, `"stop_reason":"end_turn"`) {
		t.Errorf("plain: got %q", got)
	}
	if got := ask(`{"messages":[]}`).Code; got != http.StatusBadRequest {
		t.Errorf("of no job: got %d", got)
	}
	if r.calls.Load() != 2 || r.repeated.Load() != 1 || r.jobs[2].called.Load() == 0 || r.jobs[2].calledAgain.Load() == 0 {
		t.Errorf("got %d calls, %d repeated", r.calls.Load(), r.repeated.Load())
	}
}

// The jobs that a store is filled with are jobs like any other: they run, and are
// delivered.
func TestAFilledStoreIsWorkedOff(t *testing.T) {
	const copies = 50
	b := &bench{source: ".", results: &results{Missing: map[string]string{}}, only: map[string]bool{"ringback": true, "ringback-pg": true}}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := b.open(""); err != nil { // PostgreSQL, which runs as another user, must be able to enter it
		t.Fatal(err)
	}
	defer b.close()
	if err := b.install(ctx); err != nil {
		t.Fatal(err)
	}
	for name, why := range b.results.Missing {
		t.Errorf("%s: %s", name, why)
	}
	for _, c := range b.present {
		t.Run(c.Name, func(t *testing.T) {
			u, err := b.start(ctx, c, options{concurrency: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { u.stop() }()
			if err := b.put(ctx, u, behaviour{pause: time.Hour, pieces: 1, size: 10}, 2); err != nil {
				t.Fatal(err)
			}
			u.kill()
			if err := c.store.multiply(ctx, u, copies); err != nil {
				t.Fatal(err)
			}
			r := b.world.begin(atOnce, 2, 1<<40)
			if _, err := b.restart(ctx, u); err != nil {
				t.Fatal(err)
			}
			if !await(ctx, func() bool { return r.webhooks.Load() > copies }) {
				t.Errorf("%d webhooks came of %d jobs that waited", r.webhooks.Load(), copies+1)
			}
		})
	}
}

// PostgreSQL's processes are groups of their own below the one that was started.
func TestProcessesBelowTheOneThatWasStartedAreMeasured(t *testing.T) {
	t.Parallel()
	all := stats{
		10: {parent: 1, group: 10}, 11: {parent: 10, group: 11}, 12: {parent: 11, group: 12}, // below 10
		13: {parent: 1, group: 10}, // its parent has ended
		14: {parent: 1, group: 14}, 15: {parent: 14, group: 14},
	}
	for pid, want := range map[int]bool{10: true, 11: true, 12: true, 13: true, 14: false, 15: false, 16: false} {
		if got := all.descends(pid, map[int]bool{10: true}); got != want {
			t.Errorf("process %d: got %v, want %v", pid, got, want)
		}
	}
}
