// Command river is a contender of the bench: the gateway as a Go team would build it on
// River, the best-known job queue for Go, and PostgreSQL. One process is API and workers,
// as is natural for River.
//
// A generate job calls the provider. Its answer and the webhook job that carries it are
// committed in one transaction, so River retries a webhook that fails without calling the
// provider again. README.md has the settings and their reasons.
package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// Queues. Webhooks have their own, so that slow receivers occupy no slot of the provider's,
// nor the other way round.
const (
	generateQueue = river.QueueDefault
	webhookQueue  = "webhook"
)

// Settings measured for throughput; README.md has the figures.
const (
	maxConns          = 32 // of the pool that API and workers share
	fetchCooldown     = 5 * time.Millisecond
	fetchPollInterval = 50 * time.Millisecond
)

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatalf("river: %v", err)
	}
}

// run serves until ctx ends.
func run(ctx context.Context) error {
	concurrency, err := strconv.Atoi(os.Getenv("BENCH_CONCURRENCY"))
	if err != nil {
		return fmt.Errorf("BENCH_CONCURRENCY: %w", err)
	}
	pool, err := openDatabase(ctx, os.Getenv("BENCH_DATABASE_URL"))
	if err != nil {
		return err
	}
	defer pool.Close()

	client, err := newClient(pool, concurrency)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", os.Getenv("BENCH_PORT")))
	if err != nil {
		return fmt.Errorf("open the API: %w", err)
	}
	if err := client.Start(ctx); err != nil {
		return fmt.Errorf("start workers: %w", err)
	}
	server := &http.Server{Handler: newAPI(client, results{pool}), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Shutdown(context.WithoutCancel(ctx))
	}()
	_, _ = fmt.Fprintln(os.Stdout, "ready")
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return fmt.Errorf("serve: %w", err)
	}
	<-client.Stopped() // ended by ctx: the jobs that ran have been settled
	return nil
}

func newClient(pool *pgxpool.Pool, concurrency int) (*river.Client[pgx.Tx], error) {
	// As many idle connections as there are jobs at a time; otherwise every job beyond the
	// default of two per host would dial.
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns = 0
	transport.MaxIdleConnsPerHost = concurrency
	httpClient := &http.Client{Transport: transport}

	workers := river.NewWorkers()
	river.AddWorker(workers, &generateWorker{
		provider: provider{
			client: httpClient,
			url:    os.Getenv("BENCH_PROVIDER_URL") + "/v1/messages",
			stream: os.Getenv("BENCH_STREAM") == "1",
		},
		results: results{pool},
	})
	river.AddWorker(workers, &webhookWorker{client: httpClient, secret: []byte(os.Getenv("BENCH_SECRET"))})
	river.AddWorker(workers, &expireWorker{results: results{pool}})

	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Queues: map[string]river.QueueConfig{
			generateQueue: {MaxWorkers: concurrency},
			webhookQueue:  {MaxWorkers: concurrency},
		},
		Workers:           workers,
		PeriodicJobs:      []*river.PeriodicJob{expireHourly()},
		FetchCooldown:     fetchCooldown,
		FetchPollInterval: fetchPollInterval,
		SoftStopTimeout:   30 * time.Second,
		Logger:            slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return nil, fmt.Errorf("make the client: %w", err)
	}
	return client, nil
}

// openDatabase connects, and brings River's tables and ours up to date.
func openDatabase(ctx context.Context, url string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("BENCH_DATABASE_URL: %w", err)
	}
	config.MaxConns = maxConns
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return nil, fmt.Errorf("make the migrator: %w", err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, fmt.Errorf("migrate River's tables: %w", err)
	}
	if _, err := pool.Exec(ctx, schema); err != nil {
		return nil, fmt.Errorf("migrate our table: %w", err)
	}
	return pool, nil
}
