-- Times are milliseconds since 1970, UTC; 0 means unset. Ids are UUIDv7.
-- All text is compared byte by byte: the order of an index is then the same everywhere.

CREATE TABLE ringback.jobs (
  id               uuid     NOT NULL PRIMARY KEY,
  project          text     COLLATE "C" NOT NULL,
  provider         text     COLLATE "C" NOT NULL,
  protocol         text     COLLATE "C" NOT NULL,
  model            text     COLLATE "C" NOT NULL,
  requested_model  text     COLLATE "C" NOT NULL,
  fallbacks        text     COLLATE "C" NOT NULL, -- JSON array of models, '' for none
  options          text     COLLATE "C" NOT NULL, -- JSON, what the caller chose; never changes
  metadata         text     COLLATE "C" NOT NULL,
  -- 0 queued, 1 running, 2 completed, 3 failed, 4 cancelled, 5 expired
  status           smallint NOT NULL CHECK (status BETWEEN 0 AND 5),
  fence            bigint   NOT NULL,
  node             text     COLLATE "C" NOT NULL,
  cancel_requested boolean  NOT NULL,
  created_at       bigint   NOT NULL,
  run_at           bigint   NOT NULL,
  first_started_at bigint   NOT NULL,
  started_at       bigint   NOT NULL,
  ended_at         bigint   NOT NULL,
  first_refused_at bigint   NOT NULL,
  expires_at       bigint   NOT NULL,
  end_by           bigint   NOT NULL,
  failures         integer  NOT NULL,
  attempts         integer  NOT NULL,
  uncertain        integer  NOT NULL,
  answer_model     text     COLLATE "C" NOT NULL,
  usage            text     COLLATE "C" NOT NULL,
  duration_ms      bigint   NOT NULL,
  error            text     COLLATE "C" NOT NULL,
  error_detail     text     COLLATE "C" NOT NULL, -- JSON or ''
  error_code       text     COLLATE "C" NOT NULL, -- that of error_detail
  content_until    bigint   NOT NULL,
  row_until        bigint   NOT NULL,
  content_gone     boolean  NOT NULL,
  idempotency_key  text     COLLATE "C", -- NULL where the caller gave none
  idempotency_hash bytea,
  priority         smallint NOT NULL CHECK (priority BETWEEN 0 AND 9),
  replay_of        uuid, -- the dead job that this one repeats
  replayed_by      uuid, -- the newest job that repeats this one
  CHECK ((status >= 2) = (ended_at > 0)),
  CHECK ((status = 1) = (node <> '')),
  CHECK (NOT (cancel_requested AND status IN (0, 5)))
);

-- What is polled has a partial index on exactly that: rows that have ended are in none of the first four.
-- A claim asks for one priority after the other, the highest first: jobs of a high priority that are not
-- due yet do not stand in front of those that are.
CREATE INDEX jobs_ready   ON ringback.jobs (project, provider, model, priority, run_at, id) WHERE status = 0 AND uncertain < 3;
CREATE INDEX jobs_suspect ON ringback.jobs (run_at, id) WHERE status = 0 AND uncertain >= 3;
CREATE INDEX jobs_end_by  ON ringback.jobs (end_by) WHERE status = 0;
CREATE INDEX jobs_running ON ringback.jobs (node) WHERE status = 1;
CREATE INDEX jobs_content ON ringback.jobs (content_until) WHERE status >= 2 AND NOT content_gone;
CREATE INDEX jobs_row     ON ringback.jobs (row_until) WHERE content_gone;
CREATE INDEX jobs_dead    ON ringback.jobs (id) WHERE status = 3 AND NOT content_gone AND replayed_by IS NULL;
CREATE UNIQUE INDEX jobs_idempotency ON ringback.jobs (project, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- The ledger: the attempts of a job that have ended. The one that runs is in the job's row.
CREATE TABLE ringback.attempts (
  job                 uuid    NOT NULL,
  number              bigint  NOT NULL, -- the fence under which it ran
  node                text    COLLATE "C" NOT NULL,
  provider            text    COLLATE "C" NOT NULL,
  model               text    COLLATE "C" NOT NULL,
  started_at          bigint  NOT NULL,
  first_token_at      bigint  NOT NULL,
  ended_at            bigint  NOT NULL,
  outcome             text    COLLATE "C" NOT NULL,
  status_code         integer NOT NULL,
  error               text    COLLATE "C" NOT NULL,
  usage               text    COLLATE "C" NOT NULL,
  provider_request_id text    COLLATE "C" NOT NULL,
  PRIMARY KEY (job, number)
);

-- A delivery's id begins with the first 8 bytes of its job's id: the deliveries of a job are a range of this table.
CREATE TABLE ringback.deliveries (
  id          uuid     NOT NULL PRIMARY KEY,
  job         uuid     NOT NULL,
  project     text     COLLATE "C" NOT NULL,
  host        text     COLLATE "C" NOT NULL,
  url         text     COLLATE "C" NOT NULL,
  event       text     COLLATE "C" NOT NULL,
  -- 0 pending, 1 delivered, 2 dead
  status      smallint NOT NULL CHECK (status BETWEEN 0 AND 2),
  fence       bigint   NOT NULL,
  in_flight   boolean  NOT NULL,
  node        text     COLLATE "C" NOT NULL, -- who makes the try that is in flight
  manual      boolean  NOT NULL,
  made_at     bigint   NOT NULL,
  due_at      bigint, -- NULL when it is not to be sent: in flight, or ended and not redelivered
  next_at     bigint   NOT NULL, -- the schedule's next try
  ended_at    bigint   NOT NULL,
  tries       integer  NOT NULL, -- of the schedule
  sent        integer  NOT NULL, -- all tries
  blocked     integer  NOT NULL,
  last_status integer  NOT NULL,
  reason      text     COLLATE "C" NOT NULL, -- why it is dead
  gone        boolean  NOT NULL, -- its bytes are deleted
  CHECK (NOT (in_flight AND due_at IS NOT NULL)),
  CHECK (in_flight = (node <> '')),
  CHECK ((status > 0) = (ended_at > 0))
);

CREATE INDEX deliveries_due       ON ringback.deliveries (project, host, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_made      ON ringback.deliveries (made_at) WHERE due_at IS NOT NULL AND status = 0;
CREATE INDEX deliveries_in_flight ON ringback.deliveries (node) WHERE in_flight;
CREATE INDEX deliveries_dead      ON ringback.deliveries (id) WHERE status = 2 AND NOT gone;
CREATE INDEX deliveries_manual    ON ringback.deliveries (due_at) WHERE manual AND due_at IS NOT NULL;

CREATE TABLE ringback.tries (
  delivery    uuid    NOT NULL,
  fence       bigint  NOT NULL, -- of the claim under which it was made
  number      integer NOT NULL,
  at          bigint  NOT NULL,
  trigger     text    COLLATE "C" NOT NULL,
  status_code integer NOT NULL,
  duration_ms bigint  NOT NULL,
  error       text    COLLATE "C" NOT NULL,
  response    text    COLLATE "C" NOT NULL,
  PRIMARY KEY (delivery, fence)
);

-- Content lies apart from the rows that are scanned and claimed. It is compressed already.
CREATE TABLE ringback.bodies (
  owner uuid     NOT NULL, -- a job or a delivery
  part  smallint NOT NULL, -- 1 request, 2 answer, 3 partial answer, 4 webhook
  zstd  boolean  NOT NULL,
  bytes bytea    NOT NULL,
  PRIMARY KEY (owner, part)
);
ALTER TABLE ringback.bodies ALTER COLUMN bytes SET STORAGE EXTERNAL;

-- What is not to be called, and until when; model '' is the provider's key.
CREATE TABLE ringback.holds (
  provider text   COLLATE "C" NOT NULL,
  model    text   COLLATE "C" NOT NULL,
  until    bigint NOT NULL,
  reason   text   COLLATE "C" NOT NULL,
  key      text   COLLATE "C" NOT NULL, -- the hash of the key that is held, '' of a model
  PRIMARY KEY (provider, model)
);

-- Processes that write. The number of its last commit tells each of them what became of one whose answer was lost.
CREATE TABLE ringback.writers (
  id         uuid        NOT NULL PRIMARY KEY,
  commits    bigint      NOT NULL,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 20);

-- The nodes that have a lease. Who claims a job or a delivery holds a lock FOR KEY SHARE on its node's row, so no claim
-- can be born under a lease that is being taken away.
CREATE TABLE ringback.nodes (
  id         text        COLLATE "C" NOT NULL PRIMARY KEY,
  process    uuid        NOT NULL,
  machine    text        NOT NULL,
  version    text        NOT NULL,
  api        boolean     NOT NULL,
  worker     boolean     NOT NULL,
  joined_at  timestamptz NOT NULL,
  expires_at timestamptz NOT NULL
) WITH (fillfactor = 20);

-- What waits, and dead letters. The counts of all writers are to be added up: none of them waits for another.
CREATE TABLE ringback.counters (
  writer   uuid   NOT NULL, -- zero: of those that are gone
  kind     text   COLLATE "C" NOT NULL, -- job, suspect, delivery, dead job, dead delivery
  project  text   COLLATE "C" NOT NULL, -- of a job, with provider and model; '' of the others
  provider text   COLLATE "C" NOT NULL,
  model    text   COLLATE "C" NOT NULL,
  n        bigint NOT NULL,
  PRIMARY KEY (writer, kind, project, provider, model)
) WITH (fillfactor = 50);

-- Rows of these tables change a few times in their first minutes, then never: vacuum by how much has changed, not by
-- the share of a table that may hold millions.
ALTER TABLE ringback.jobs       SET (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000, autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
ALTER TABLE ringback.deliveries SET (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000, autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
ALTER TABLE ringback.bodies     SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000);
ALTER TABLE ringback.counters   SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
ALTER TABLE ringback.nodes      SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
ALTER TABLE ringback.writers    SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- settings are how we want a transaction to run, where that can't be said of the session. Rows are found by an index:
-- a plan that was made while the tables were empty must not read them whole when they have grown. (What has no index to
-- go by then looks so expensive that it would be compiled, which takes longer than to run it.)
CREATE FUNCTION ringback.settings() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('statement_timeout', '10s', true), set_config('lock_timeout', '5s', true),
    set_config('idle_in_transaction_session_timeout', '4s', true), set_config('jit', 'off', true),
    set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
    set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true);
END $$;

-- matched ends the transaction, with a state that says why, if it did not find the rows that were to be there.
-- RB001: a row has moved on. RB002: the writer is gone, or another commit has its number. RB003: a node has no lease.
CREATE FUNCTION ringback.matched(were bigint, wanted bigint, state text DEFAULT 'RB001') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF were <> wanted THEN
    RAISE EXCEPTION 'changed by another meanwhile: % of % rows are as they were', were, wanted USING ERRCODE = state;
  END IF;
END $$;
