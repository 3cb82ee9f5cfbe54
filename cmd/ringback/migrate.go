package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/ringback/ringback/internal/config"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/postgres"
	"github.com/ringback/ringback/internal/store/sqlite"
	"github.com/ringback/ringback/internal/telemetry"
	"github.com/ringback/ringback/internal/terminal"
)

func newMigrate() *cobra.Command {
	var from, to string
	cmd := &cobra.Command{
		Use:   "migrate [--from DIR] [--to URL] [FLAGS]",
		Short: "Copy the jobs of a data directory to PostgreSQL",
		Long: `Copy everything in the data directory of a stopped server to PostgreSQL: jobs in every
state, with their answers, ledgers, webhooks, dead letters, idempotency keys and times.
The directory is not changed. Once it has been copied, do not serve from it again, or its
jobs run twice. The first server that starts on the database recovers the jobs that were
running, as after a crash.

The database must be empty, or hold an earlier copy of the same directory: after an
interruption or a kill, run the same command again to continue. At the end rows are counted
on both sides. No server may use either in the meantime.`,
		Example: `  RINGBACK_DATABASE_URL=postgres://… ringback migrate
  ringback migrate --from /var/lib/ringback --to postgres://ringback@db.example.com/ringback
  export WEBHOOK_SECRET=$(ringback secret --data /var/lib/ringback)   for the servers that follow`,
		Annotations:           map[string]string{config.HelpTitle: migrateVariables, exit.HelpTitle: exit.HelpText(migrateCodes())},
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
		ValidArgsFunction:     cobra.NoFileCompletions,
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&from, "from", "", "the data `DIR` of the stopped server; default: RINGBACK_DATA, or ./ringback-data")
	cmd.Flags().StringVar(&to, "to", "", "`URL` the database, postgres://user@host/database; others can see it with ps, so use RINGBACK_DATABASE_URL if it has a password")
	terminal.AddOutputFlags(cmd.Flags())
	config.AddFlags(cmd.Flags(), "config")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := loadMigration(cmd, from, to)
		if err != nil {
			return err
		}
		return (&migration{Output: terminal.OutputOf(cmd), Config: c}).run(cmd.Context())
	}
	return cmd
}

const migrateVariables = `  RINGBACK_DATA           the data directory; goes after --from
  RINGBACK_DATABASE_URL   the database; goes after --to
  RINGBACK_CONFIG         a file with the keys data and database_url; goes after --config`

// migrateCodes returns the exit codes of migrate.
func migrateCodes() (codes []exit.Code) {
	for _, e := range exit.Codes {
		if e.Number <= exit.Locked || e.Number == exit.DataDir || e.Number == exit.Interrupted {
			codes = append(codes, e)
		}
	}
	return codes
}

// loadMigration reads the source and the destination.
func loadMigration(cmd *cobra.Command, from, to string) (config.Config, error) {
	c, err := config.LoadOnly(cmd.Flags(), os.Environ(), "data", "database_url", "webhook_secret")
	if err != nil {
		return c, err
	}
	if from != "" {
		c.Data = from
	}
	if to != "" {
		if err := config.SetDatabaseURL(&c.DatabaseURL, to); err != nil {
			return c, exit.Errorf(exit.Usage, "--to: %w", err)
		}
	}
	if c.DatabaseURL == "" {
		return c, exit.Errorf(exit.Usage, "no target is set: set RINGBACK_DATABASE_URL, or --to postgres://user@host/database")
	}
	return c, nil
}

// step is how many jobs are copied in one transaction.
const step = 1000

// migration is one run of ringback migrate.
type migration struct {
	terminal.Output
	config.Config

	source *sqlite.Store
	target *postgres.Import
	begin  time.Time
	before store.Counts // what earlier runs have copied
}

func (m *migration) run(ctx context.Context) error {
	if err := m.openSource(ctx); err != nil {
		return err
	}
	defer m.source.Close() // nothing was written
	m.Sayf("counting what is in %s", m.Data)
	state, err := m.source.State(ctx)
	if err != nil {
		return explainStore(err, m.Data)
	}
	has, err := m.source.Counts(ctx)
	switch {
	case ctx.Err() != nil:
		return m.stopped(ctx, err, has)
	case err != nil:
		return explainStore(err, m.Data)
	}
	if m.target, err = postgres.OpenImport(ctx, postgres.Config{URL: m.DatabaseURL}, state); err != nil {
		return m.stopped(ctx, err, has)
	}
	defer m.target.Close()
	m.begin, m.before = time.Now(), m.target.Carried()
	if ended := m.target.Ended(); !ended.IsZero() {
		m.Sayf("this directory was copied at %s; there is nothing to do", ended.Local().Format(time.DateTime))
		return m.summary(has, m.before)
	}
	if err := m.carry(ctx, has); err != nil {
		return m.stopped(ctx, err, has)
	}
	return m.finish(ctx, has)
}

func (m *migration) openSource(ctx context.Context) error {
	there, err := sqlite.Exists(m.Data)
	if err == nil && !there {
		return exit.Errorf(exit.DataDir, "there are no jobs in %s: it has no ringback.db; correct --from", m.Data)
	}
	if err == nil {
		log := telemetry.NewLogger(telemetry.LogConfig{Output: m.Talk, Terminal: m.TalkTo.Is, Color: m.TalkTo.Color})
		m.source, err = sqlite.Open(ctx, sqlite.Config{Dir: m.Data, Logger: log, Die: dieOf(log, m.Data)})
	}
	if errors.Is(err, store.ErrLocked) {
		return exit.Errorf(exit.Locked, "data directory %s is in use: stop the server that serves from it, then migrate", m.Data)
	}
	if err != nil {
		return explainStore(err, m.Data)
	}
	return nil
}

// carry reads and writes concurrently, and shows its progress.
func (m *migration) carry(ctx context.Context, has store.Counts) error {
	bar := m.NewPartsBar("jobs")
	defer bar.End()
	bar.Show(int(m.before.Jobs), int(has.Jobs))
	read := make(chan []store.Record)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(read)
		return m.read(ctx, read)
	})
	g.Go(func() error {
		for jobs := range read {
			if err := m.target.Put(ctx, jobs); err != nil {
				return err
			}
			bar.Show(int(m.target.Carried().Jobs), int(has.Jobs))
		}
		return nil
	})
	return g.Wait()
}

// read passes on all jobs after those that were copied before.
func (m *migration) read(ctx context.Context, to chan<- []store.Record) error {
	after := m.target.After()
	for {
		jobs, err := m.source.Export(ctx, after, step)
		if err != nil || len(jobs) == 0 {
			return err
		}
		after = lastOf(jobs)
		select {
		case to <- jobs:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func lastOf(jobs []store.Record) uuid.UUID { return jobs[len(jobs)-1].Job.ID }

func (m *migration) finish(ctx context.Context, has store.Counts) error {
	m.Sayf("counting what is in the database")
	holds, err := m.source.Holds(ctx)
	if err != nil {
		return m.stopped(ctx, err, has)
	}
	key, err := m.source.StoredSigningKey(ctx)
	if err != nil {
		return m.stopped(ctx, err, has)
	}
	stored, exact, err := m.target.Finish(ctx, has, holds, key)
	if err != nil {
		return m.stopped(ctx, err, has)
	}
	if !exact {
		m.Sayf("a server has run on the database since the migration began, so only the rows that were copied are counted")
	}
	if err := m.summary(has, stored); err != nil {
		return err
	}
	m.Sayf("do not serve from %s again; keep it as a backup or remove it", m.Data)
	if _, err := os.Stat(filepath.Join(m.Data, secretFile)); err == nil && len(m.Secrets) == 0 {
		m.Sayf("receivers know its secret, so give it to all servers: WEBHOOK_SECRET=$(ringback secret --data %s)", plain.ShellQuote(m.Data))
	}
	return nil
}

// summary prints what each side has.
func (m *migration) summary(has, stored store.Counts) error {
	took := time.Since(m.begin)
	carried := stored.Jobs - m.before.Jobs
	if m.JSON {
		return m.PrintJSON(struct {
			From       string       `json:"from"`
			To         string       `json:"to"`
			Directory  store.Counts `json:"directory"`
			Database   store.Counts `json:"database"`
			Carried    int64        `json:"carried"` // jobs, by this run
			DurationMS int64        `json:"duration_ms"`
		}{m.Data, m.Place(), has, stored, carried, took.Milliseconds()})
	}
	t := &terminal.Table{Title: []string{"ROWS", "DIRECTORY", "DATABASE"}}
	for _, row := range []struct {
		name        string
		has, stored int64
	}{
		{"jobs", has.Jobs, stored.Jobs},
		{"attempts", has.Attempts, stored.Attempts},
		{"deliveries", has.Deliveries, stored.Deliveries},
		{"tries", has.Tries, stored.Tries},
		{"bodies", has.Bodies, stored.Bodies},
	} {
		t.Row(row.name, fmt.Sprint(row.has), fmt.Sprint(row.stored))
	}
	if err := t.Flush(m.Out, m.OutTo.Width); err != nil {
		return err
	}
	if carried > 0 {
		m.Sayf("%d jobs copied in %s, %.0f per second", carried, plain.Span(took), float64(carried)/took.Seconds())
	}
	return nil
}

// stopped returns how far a run has come that ended early, and what to do.
func (m *migration) stopped(ctx context.Context, err error, has store.Counts) error {
	far := "nothing was copied"
	if m.target != nil {
		far = fmt.Sprintf("%d of %d jobs are carried over; run the same command again to continue with the rest", m.target.Carried().Jobs, has.Jobs)
	}
	switch {
	case ctx.Err() != nil:
		return exit.Errorf(exit.Interrupted, "interrupted: %s", far)
	case errors.Is(err, store.ErrUnavailable):
		return exit.Errorf(exit.DataDir, "%s. Try again when it is there: %s", plain.OneLine(err.Error()), far)
	case errors.Is(err, postgres.ErrOccupied):
		return exit.Errorf(exit.DataDir, "%s: %w", m.Place(), err)
	case m.target == nil:
		return explainDatabase(err, m.Config)
	}
	return exit.Errorf(exit.Failure, "%w: %s", err, far)
}
