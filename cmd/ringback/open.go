package main

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/postgres"
	"github.com/ringback/ringback/internal/store/sqlite"
)

// openStore opens the store that the configuration names.
func openStore(ctx context.Context, c config, log *slog.Logger, metrics prometheus.Registerer) (store.Store, error) {
	if c.databaseURL == "" {
		s, err := sqlite.Open(ctx, sqlite.Config{Dir: c.data, Logger: log, Die: dieOf(log, c.data), Metrics: metrics})
		if err != nil {
			return nil, explainStore(err, c.data)
		}
		return s, nil
	}
	return openPostgres(ctx, c, log, metrics)
}

// A database that is not there is waited for: it may be about to be started, or
// restarted, and whoever supervises this process could do no better.
const (
	databasePause = time.Second // twice as long after each try, up to databaseRest
	databaseRest  = 10 * time.Second
)

// errStopped ends a start that was waiting when somebody stopped it.
var errStopped = errors.New("stopped before the database was there")

func openPostgres(ctx context.Context, c config, log *slog.Logger, metrics prometheus.Registerer) (store.Store, error) {
	pause := databasePause
	for {
		s, err := postgres.Open(ctx, postgres.Config{
			URL: c.databaseURL, DirectURL: c.databaseDirectURL, Connections: c.databaseConnections, Logger: log, Metrics: metrics,
		})
		switch {
		case err == nil:
			return s, nil
		case ctx.Err() != nil:
			return nil, errStopped
		case !errors.Is(err, store.ErrUnavailable):
			return nil, explainDatabase(err, c)
		}
		log.Warn("waiting for the database", "store", c.place(), "err", err)
		if !backoff.Sleep(ctx, backoff.Jitter(pause, backoff.Half)) {
			return nil, errStopped
		}
		pause = min(2*pause, databaseRest)
	}
}

// explainDatabase says why a database cannot be used.
func explainDatabase(err error, c config) error {
	if errors.Is(err, store.ErrTooNew) {
		return exit.Errorf(exit.DataDir, "the database %s was migrated by a newer ringback and was not changed: %w; start that version", c.place(), err)
	}
	return exit.Errorf(exit.DataDir, "the database %s cannot be used: %w; fix it, or correct its URL", c.place(), err)
}

// place is where jobs are kept, without a secret.
func (c config) place() string {
	if c.databaseURL == "" {
		return c.data
	}
	u, err := url.Parse(c.databaseURL)
	if err != nil {
		return "postgres"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// warnOfData tells of jobs in the data directory, which nobody runs while jobs are
// kept in a database.
func (c config) warnOfData(log *slog.Logger) {
	file := filepath.Join(c.data, "ringback.db")
	if _, err := os.Stat(file); err != nil || c.databaseURL == "" {
		return
	}
	log.Warn("jobs are kept in the database, and the jobs in this data directory are not used; copy them with ringback migrate, then move the directory away", "data", c.data)
}

// watchedDir is the directory whose free space matters: none where jobs are kept
// elsewhere.
func (c config) watchedDir() string {
	if c.databaseURL == "" {
		return c.data
	}
	return ""
}
