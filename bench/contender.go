package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// contender is a system that does the work, and how it is set up to do it best.
type contender struct {
	Name  string
	Title string // what it is, in a line
	// service is the database behind it; nil if it needs none.
	service service
	// store is where Ringback keeps jobs; nil of the others, and of variants.
	store store
	// install makes its programs; the error says what is missing.
	install func(ctx context.Context, b *bench) error
	// programs are its processes.
	programs func(b *bench, s setup) []program
	health   string // the path that answers 200 when the API takes jobs
	durable  bool   // a 202 is on disk
	variant  bool   // of another contender: measured in the core only
	// streams means that its worker always takes the answer as a stream; the others do when
	// the workload is about streams.
	streams bool
	// profiled means that it is ours: -profile is about it.
	profiled bool
	// concurrency is how many jobs a worker runs at a time if the workload does not say.
	concurrency int
	workers     int // processes
	apis        int // that take jobs, each a program of its own and before all others; 0 means 1
	// most is the greatest concurrency that it takes; 0 means any.
	most int
}

// setup is what a contender needs to know for one start.
type setup struct {
	ports       []string // of its APIs
	dir         string   // for its own data
	env         []string // of the contract, and of its service
	concurrency int      // of each worker
	workers     int
	log         string
	profile     string // the address of its first program's net/http/pprof; "" for none
}

// options are what a workload asks of a start.
type options struct {
	concurrency int  // jobs at a time; 0: the contender's own
	stream      bool // the provider is asked for a stream
	dir         string
}

// up is a contender that runs.
type up struct {
	contender
	bench     *bench
	processes []*process
	apis      []string // base URLs without a slash at the end
	dir       string
	log       string
	setup     setup
	service   *process
}

const startPatience = 60 * time.Second

// start starts a contender with an empty store, or with the one in o.dir.
func (b *bench) start(ctx context.Context, c contender, o options) (_ *up, err error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	u := &up{contender: c, bench: b, dir: o.dir}
	if u.dir == "" {
		if u.dir, err = os.MkdirTemp(b.dir, c.Name+"-"); err != nil {
			return nil, err
		}
		if err := os.Chmod(u.dir, 0o755); err != nil { //nolint:gosec // PostgreSQL runs as somebody else
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w\n%s", c.Name, err, tail(u.log))
			u.stop()
		}
	}()
	u.log = filepath.Join(u.dir, "log")
	s, err := u.prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	u.setup = s
	return u, u.launch(ctx)
}

// prepare starts the service and collects the setup of the programs.
func (u *up) prepare(ctx context.Context, o options) (s setup, err error) {
	c := u.contender
	for range max(1, c.apis) {
		port, err := freePort()
		if err != nil {
			return s, err
		}
		s.ports = append(s.ports, port)
		u.apis = append(u.apis, "http://127.0.0.1:"+port)
	}
	if c.profiled && u.bench.profile.dir != "" {
		port, err := freePort()
		if err != nil {
			return s, err
		}
		s.profile = "127.0.0.1:" + port
	}
	s.concurrency = c.concurrency
	if o.concurrency > 0 {
		s.concurrency = (o.concurrency + max(1, c.workers) - 1) / max(1, c.workers)
	}
	if c.most > 0 {
		s.concurrency = min(s.concurrency, c.most)
	}
	s.dir, s.log, s.workers = u.dir, u.log, max(1, c.workers)
	s.env = []string{
		"BENCH_PORT=" + s.ports[0], "BENCH_PROVIDER_URL=" + u.bench.world.ProviderURL,
		"BENCH_CONCURRENCY=" + strconv.Itoa(s.concurrency), "BENCH_WORKERS=" + strconv.Itoa(s.workers),
		"BENCH_SECRET=" + secret,
	}
	if o.stream {
		s.env = append(s.env, "BENCH_STREAM=1")
	}
	if c.service == nil {
		return s, nil
	}
	dir := filepath.Join(u.dir, "service")
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // PostgreSQL runs as somebody else
		return s, err
	}
	p, env, err := c.service.start(ctx, dir)
	if p != nil {
		u.service = p
	}
	s.env = append(s.env, env...)
	return s, err
}

// secret signs the webhooks; nobody verifies them here.
const secret = "a secret of thirty-two characters"

// launch starts the contender's own programs and waits until they work.
func (u *up) launch(ctx context.Context) error {
	for _, p := range u.programs(u.bench, u.setup) {
		if p.stderr == "" {
			p.stderr = u.log
		}
		pr, err := p.start()
		if err != nil {
			return err
		}
		u.processes = append(u.processes, pr)
	}
	for _, pr := range u.processes {
		if err := pr.await(ctx); err != nil {
			return err
		}
	}
	for i, api := range u.apis {
		if err := eventually(ctx, u.processes[i], func() bool { return healthy(api + u.health) }); err != nil {
			return err
		}
	}
	return nil
}

func healthy(url string) bool {
	resp, err := http.Get(url) //nolint:noctx // loopback
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// all returns its processes and its service's.
func (u *up) all() []*process {
	if u.service == nil {
		return u.processes
	}
	return append([]*process{u.service}, u.processes...)
}

// kill ends the contender's own programs without a warning; its service lives on.
func (u *up) kill() {
	for _, pr := range u.processes {
		_ = syscall.Kill(-pr.cmd.Process.Pid, syscall.SIGKILL)
	}
	for _, pr := range u.processes {
		pr.kill()
	}
	u.processes = nil
}

// stop ends everything and removes its data.
func (u *up) stop() {
	u.kill()
	if u.service != nil {
		u.service.end()
	}
	_ = os.RemoveAll(u.dir)
}

// tail returns the end of a file.
func tail(path string) string {
	text, err := os.ReadFile(path) //nolint:gosec // a log of ours
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	return string(text[max(0, len(text)-2000):])
}

// The contenders, in the order of the tables.
var contenders = []contender{
	{
		Name: "null", Title: "the same HTTP hops in Go, with nothing stored: the ceiling",
		install:  func(ctx context.Context, b *bench) error { return b.build(ctx, ".", "null", "./null") },
		programs: func(b *bench, s setup) []program { return []program{{args: []string{b.binary("null")}, env: s.env}} },
		health:   "/healthz", streams: true, concurrency: 256,
	},
	{
		Name: "ringback", Title: "Ringback, embedded store (SQLite, every 202 synced to disk)",
		store: sqliteStore{}, install: installRingback, programs: serve, health: "/readyz", durable: true, streams: true, profiled: true, concurrency: 256,
	},
	{
		Name: "ringback-pg", Title: "Ringback on PostgreSQL, one node",
		service: postgres{}, store: postgresStore{}, install: installRingback, programs: serveNodes,
		health: "/readyz", durable: true, streams: true, profiled: true, concurrency: 256,
	},
	{
		Name: "ringback-pg-2", Title: "the same with two nodes, each both API and worker; jobs are submitted to them in turn",
		service: postgres{}, install: installRingback, programs: serveNodes,
		health: "/readyz", durable: true, streams: true, profiled: true, concurrency: 128, workers: 2, apis: 2, variant: true,
	},
	{
		Name: "bullmq", Title: "Express + BullMQ 5 on Redis, AOF everysec, the official Anthropic SDK for Node",
		service: redis{"everysec"}, install: installBullMQ, programs: bullmq, health: "/healthz", concurrency: 50, workers: 2,
	},
	{
		Name: "bullmq-10", Title: "the same with 10 jobs at a time in one worker, as its tutorials have it",
		service: redis{"everysec"}, install: installBullMQ, programs: bullmq, health: "/healthz", concurrency: 10, workers: 1, variant: true,
	},
	{
		Name: "bullmq-always", Title: "the same as bullmq with AOF always: every write synced to disk",
		service: redis{"always"}, install: installBullMQ, programs: bullmq, health: "/healthz", durable: true, concurrency: 50, workers: 2, variant: true,
	},
	{
		Name: "celery", Title: "Flask + Celery on Redis, AOF everysec, the official Anthropic SDK for Python",
		service: redis{"everysec"}, install: installCelery, programs: celery, health: "/healthz", concurrency: 50, workers: 2,
	},
	{
		Name: "river", Title: "River on PostgreSQL, API and workers in one Go process",
		service: postgres{}, install: func(ctx context.Context, b *bench) error { return b.build(ctx, ".", "river", "./river") },
		programs: func(b *bench, s setup) []program {
			return []program{{args: []string{b.binary("river")}, env: s.env, says: "ready"}}
		},
		health: "/healthz", durable: true, concurrency: 100, most: 10_000,
	},
}

// former returns another binary of Ringback, to see what a change has achieved.
func former(binary string) contender {
	return contender{
		Name: "before", Title: "another binary of Ringback",
		install:  func(context.Context, *bench) error { return nil },
		programs: func(b *bench, s setup) []program { return serving(binary, b, s) },
		health:   "/readyz", durable: true, streams: true, concurrency: 256,
	}
}

func installRingback(ctx context.Context, b *bench) error {
	return b.build(ctx, "..", "ringback", "./cmd/ringback")
}

func serve(b *bench, s setup) []program { return serving(b.binary("ringback"), b, s) }

func serving(binary string, b *bench, s setup) []program {
	p := node(binary, b, s, s.ports[0], "--data", filepath.Join(s.dir, "data"))
	p.env = append(p.env, "PROFILE_ADDR="+s.profile)
	return []program{p}
}

// serveNodes returns one node for each API, all on the same PostgreSQL.
func serveNodes(b *bench, s setup) (all []program) {
	for _, port := range s.ports {
		all = append(all, node(b.binary("ringback"), b, s, port, "--database-url", s.value(databaseURL)))
	}
	all[0].env = append(all[0].env, "PROFILE_ADDR="+s.profile)
	return all
}

// node returns one process of Ringback; store is the flags that say where it keeps jobs.
func node(binary string, b *bench, s setup, port string, store ...string) program {
	return program{
		args: append([]string{
			binary, "serve", "--addr", "127.0.0.1:" + port,
			"--allow-callback", "127.0.0.0/8", "--concurrency", strconv.Itoa(s.concurrency), "--max-queued", "2000000", "--log-level", "warn",
		}, store...),
		env: append(slices.Clone(s.env), "ANTHROPIC_API_KEY=bench", "ANTHROPIC_BASE_URL="+b.world.ProviderURL, "WEBHOOK_SECRET="+secret),
	}
}

// value returns the value of a variable in the setup.
func (s setup) value(name string) string {
	for _, v := range s.env {
		if value, found := strings.CutPrefix(v, name+"="); found {
			return value
		}
	}
	return ""
}

func bullmq(b *bench, s setup) []program {
	dir := filepath.Join(b.source, "bullmq")
	env := append(s.env, "NODE_ENV=production")
	all := []program{{args: []string{"node", "server.js"}, dir: dir, env: env, says: "ready"}}
	for range s.workers {
		all = append(all, program{args: []string{"node", "worker.js"}, dir: dir, env: env, says: "ready"})
	}
	return all
}

func installBullMQ(ctx context.Context, b *bench) error {
	dir := filepath.Join(b.source, "bullmq")
	if _, err := exec.LookPath("node"); err != nil {
		return errors.New("node is missing; sudo apt-get install -y nodejs npm")
	}
	return b.quietly(ctx, dir, "npm", "ci", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error")
}

func celery(b *bench, s setup) []program {
	dir := filepath.Join(b.source, "celery")
	bin := filepath.Join(dir, ".venv", "bin")
	all := []program{{args: []string{filepath.Join(bin, "gunicorn"), "app:app"}, dir: dir, env: s.env, says: "ready"}}
	for i := range s.workers {
		all = append(all, program{args: []string{
			filepath.Join(bin, "celery"), "-A", "tasks", "-q", "worker", "-n", strconv.Itoa(i) + "@%h", "-Q", "ai,webhooks",
			"--pool", "threads", "--concurrency", strconv.Itoa(s.concurrency), "--loglevel", "WARNING",
			"--without-gossip", "--without-mingle", "--without-heartbeat",
		}, dir: dir, env: s.env, says: "ready"})
	}
	return all
}

func installCelery(ctx context.Context, b *bench) error {
	dir := filepath.Join(b.source, "celery")
	if _, err := exec.LookPath("python3"); err != nil {
		return errors.New("python3 is missing; sudo apt-get install -y python3 python3-venv")
	}
	venv := filepath.Join(dir, ".venv")
	if err := b.quietly(ctx, dir, "python3", "-m", "venv", venv); err != nil {
		return err
	}
	return b.quietly(ctx, dir, filepath.Join(venv, "bin", "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt")
}
