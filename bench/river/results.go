package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
)

// schema is our own table beside River's. body is the JSON that the receiver gets.
const schema = `
	create table if not exists results (
		job_id     uuid        primary key,
		body       text        not null,
		created_at timestamptz not null default now()
	)`

type results struct{ pool *pgxpool.Pool }

// add reports whether it added a result: a job that runs twice has one result, the first.
func (r results) add(ctx context.Context, tx pgx.Tx, id uuid.UUID, body string) (bool, error) {
	tag, err := tx.Exec(ctx, `insert into results (job_id, body) values ($1, $2) on conflict do nothing`, id, body)
	if err != nil {
		return false, fmt.Errorf("add result: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// find returns the result of a job or, while there is none, its status; nothing if the job
// is unknown. It finds River's job by the index of its args.
func (r results) find(ctx context.Context, id uuid.UUID) (body, status string, err error) {
	err = r.pool.QueryRow(ctx, `
		select body, '' from results where job_id = $1
		union all
		select '', case state when 'running' then 'running' when 'discarded' then 'failed' else 'queued' end
		from river_job
		where kind = 'generate' and args @> jsonb_build_object('job_id', $1::uuid)
		limit 1`, id).Scan(&body, &status)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", "", fmt.Errorf("find job: %w", err)
	}
	return body, status, nil
}

type expireArgs struct{}

func (expireArgs) Kind() string { return "expire" }

// expireWorker deletes results after 24 hours, as River does completed jobs.
type expireWorker struct {
	river.WorkerDefaults[expireArgs]
	results results
}

func (w *expireWorker) Work(ctx context.Context, _ *river.Job[expireArgs]) error {
	_, err := w.results.pool.Exec(ctx, `delete from results where created_at < now() - interval '24 hours'`)
	if err != nil {
		return fmt.Errorf("expire results: %w", err)
	}
	return nil
}

func expireHourly() *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(time.Hour),
		func() (river.JobArgs, *river.InsertOpts) { return expireArgs{}, nil }, nil)
}
