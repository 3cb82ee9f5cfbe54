package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/config"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/postgres"
	"github.com/ringback/ringback/internal/store/sqlite"
)

// openStore opens the configured store.
func openStore(ctx context.Context, c config.Config, log *slog.Logger, metrics prometheus.Registerer) (store.Store, error) {
	if c.DatabaseURL == "" {
		s, err := sqlite.Open(ctx, sqlite.Config{Dir: c.Data, Logger: log, Die: dieOf(log, c.Data), Metrics: metrics})
		if err != nil {
			return nil, explainStore(err, c.Data)
		}
		return s, nil
	}
	return openPostgres(ctx, c, log, metrics)
}

// A database that is not reachable is waited for: it may be starting or restarting, and a
// supervisor of this process could only do the same.
const (
	databasePause = time.Second // doubled after each try, up to databaseRest
	databaseRest  = 10 * time.Second
)

// errStopped ends a start that was stopped while it waited.
var errStopped = errors.New("stopped before the database was there")

func openPostgres(ctx context.Context, c config.Config, log *slog.Logger, metrics prometheus.Registerer) (store.Store, error) {
	pause := databasePause
	for {
		s, err := postgres.Open(ctx, postgres.Config{
			URL: c.DatabaseURL, DirectURL: c.DatabaseDirectURL, Connections: c.DatabaseConnections, Logger: log, Metrics: metrics,
		})
		switch {
		case err == nil:
			return s, nil
		case ctx.Err() != nil:
			return nil, errStopped
		case !errors.Is(err, store.ErrUnavailable):
			return nil, explainDatabase(err, c)
		}
		log.Warn("waiting for the database", "store", c.Place(), "err", err)
		if !backoff.Sleep(ctx, backoff.Jitter(pause, backoff.Half)) {
			return nil, errStopped
		}
		pause = min(2*pause, databaseRest)
	}
}

// explainDatabase returns why a database cannot be used.
func explainDatabase(err error, c config.Config) error {
	if errors.Is(err, store.ErrTooNew) {
		return exit.Errorf(exit.DataDir, "the database %s was migrated by a newer ringback and was not changed: %w; start that version", c.Place(), err)
	}
	return exit.Errorf(exit.DataDir, "the database %s cannot be used: %w; fix it, or correct its URL", c.Place(), err)
}

// warnOfData warns of jobs in the data directory, which nobody runs while jobs are kept in
// a database.
func warnOfData(c config.Config, log *slog.Logger) {
	file := filepath.Join(c.Data, "ringback.db")
	if _, err := os.Stat(file); err != nil || c.DatabaseURL == "" {
		return
	}
	log.Warn("jobs are kept in the database, and the jobs in this data directory are not used; copy them with ringback migrate, then move the directory away", "data", c.Data)
}

// watchedDir returns the directory whose free space matters; "" if jobs are kept elsewhere.
func watchedDir(c config.Config) string {
	if c.DatabaseURL == "" {
		return c.Data
	}
	return ""
}
