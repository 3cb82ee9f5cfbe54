-- Times are milliseconds since 1970, UTC; 0 means unset.
-- Ids are UUIDv7 as 16 bytes, so that rows are appended in the order of time.

CREATE TABLE jobs (
  id               BLOB    NOT NULL PRIMARY KEY,
  project          TEXT    NOT NULL,
  provider         TEXT    NOT NULL,
  protocol         TEXT    NOT NULL,
  model            TEXT    NOT NULL,
  requested_model  TEXT    NOT NULL,
  fallbacks        TEXT    NOT NULL, -- JSON array of models, '' for none
  options          TEXT    NOT NULL, -- JSON, what the caller chose; never changes
  metadata         TEXT    NOT NULL,
  -- 0 queued, 1 running, 2 completed, 3 failed, 4 cancelled, 5 expired
  status           INTEGER NOT NULL CHECK (status BETWEEN 0 AND 5),
  fence            INTEGER NOT NULL,
  node             TEXT    NOT NULL,
  cancel_requested INTEGER NOT NULL,
  created_at       INTEGER NOT NULL,
  run_at           INTEGER NOT NULL,
  first_started_at INTEGER NOT NULL,
  started_at       INTEGER NOT NULL,
  ended_at         INTEGER NOT NULL,
  first_refused_at INTEGER NOT NULL,
  expires_at       INTEGER NOT NULL,
  end_by           INTEGER NOT NULL,
  failures         INTEGER NOT NULL,
  attempts         INTEGER NOT NULL,
  uncertain        INTEGER NOT NULL,
  answer_model     TEXT    NOT NULL,
  usage            TEXT    NOT NULL,
  duration_ms      INTEGER NOT NULL,
  error            TEXT    NOT NULL,
  error_detail     TEXT    NOT NULL, -- JSON or ''
  content_until    INTEGER NOT NULL,
  row_until        INTEGER NOT NULL,
  content_gone     INTEGER NOT NULL,
  idempotency_key  TEXT, -- NULL where the caller gave none
  idempotency_hash BLOB,
  CHECK ((status >= 2) = (ended_at > 0)),
  CHECK ((status = 1) = (node <> '')),
  CHECK (NOT (cancel_requested = 1 AND status IN (0, 5)))
) WITHOUT ROWID;

-- What is polled has a partial index on exactly that: rows that have ended are in none of the first four.
CREATE INDEX jobs_ready   ON jobs (project, provider, model, run_at, id) WHERE status = 0 AND uncertain < 3;
CREATE INDEX jobs_suspect ON jobs (run_at, id) WHERE status = 0 AND uncertain >= 3;
CREATE INDEX jobs_end_by  ON jobs (end_by) WHERE status = 0;
CREATE INDEX jobs_running ON jobs (id) WHERE status = 1;
CREATE INDEX jobs_content ON jobs (content_until) WHERE status >= 2 AND content_gone = 0;
CREATE INDEX jobs_row     ON jobs (row_until) WHERE content_gone = 1;
CREATE UNIQUE INDEX jobs_idempotency ON jobs (project, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- The ledger: the attempts of a job that have ended. The one that runs is in the job's row.
CREATE TABLE attempts (
  job                 BLOB    NOT NULL,
  number              INTEGER NOT NULL, -- the fence under which it ran
  node                TEXT    NOT NULL,
  provider            TEXT    NOT NULL,
  model               TEXT    NOT NULL,
  started_at          INTEGER NOT NULL,
  first_token_at      INTEGER NOT NULL,
  ended_at            INTEGER NOT NULL,
  outcome             TEXT    NOT NULL,
  status_code         INTEGER NOT NULL,
  error               TEXT    NOT NULL,
  usage               TEXT    NOT NULL,
  provider_request_id TEXT    NOT NULL,
  PRIMARY KEY (job, number)
) WITHOUT ROWID;

-- A delivery's id begins with the first 8 bytes of its job's id: the deliveries of a job are a range of this table.
CREATE TABLE deliveries (
  id          BLOB    NOT NULL PRIMARY KEY,
  job         BLOB    NOT NULL,
  project     TEXT    NOT NULL,
  host        TEXT    NOT NULL,
  url         TEXT    NOT NULL,
  event       TEXT    NOT NULL,
  -- 0 pending, 1 delivered, 2 dead
  status      INTEGER NOT NULL CHECK (status BETWEEN 0 AND 2),
  fence       INTEGER NOT NULL,
  in_flight   INTEGER NOT NULL,
  manual      INTEGER NOT NULL,
  made_at     INTEGER NOT NULL,
  due_at      INTEGER, -- NULL when it is not to be sent: in flight, or ended and not redelivered
  next_at     INTEGER NOT NULL, -- the schedule's next try
  ended_at    INTEGER NOT NULL,
  tries       INTEGER NOT NULL, -- of the schedule
  sent        INTEGER NOT NULL, -- all tries
  blocked     INTEGER NOT NULL,
  last_status INTEGER NOT NULL,
  CHECK (NOT (in_flight = 1 AND due_at IS NOT NULL)),
  CHECK ((status > 0) = (ended_at > 0))
) WITHOUT ROWID;

CREATE INDEX deliveries_due       ON deliveries (project, host, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_made      ON deliveries (made_at) WHERE due_at IS NOT NULL AND status = 0;
CREATE INDEX deliveries_in_flight ON deliveries (id) WHERE in_flight = 1;

CREATE TABLE tries (
  delivery    BLOB    NOT NULL,
  fence       INTEGER NOT NULL, -- of the claim under which it was made
  number      INTEGER NOT NULL,
  at          INTEGER NOT NULL,
  trigger     TEXT    NOT NULL,
  status_code INTEGER NOT NULL,
  duration_ms INTEGER NOT NULL,
  error       TEXT    NOT NULL,
  response    TEXT    NOT NULL,
  PRIMARY KEY (delivery, fence)
) WITHOUT ROWID;

-- Content lies apart from the rows that are scanned and claimed.
CREATE TABLE bodies (
  owner BLOB    NOT NULL, -- a job or a delivery
  part  INTEGER NOT NULL, -- 1 request, 2 answer, 3 partial answer, 4 webhook
  zstd  INTEGER NOT NULL,
  bytes BLOB    NOT NULL,
  PRIMARY KEY (owner, part)
) WITHOUT ROWID;

-- One row.
CREATE TABLE store (
  oldest_schema INTEGER NOT NULL, -- whose binaries may still run on this one
  commits       INTEGER NOT NULL  -- how many transactions wrote
);
INSERT INTO store VALUES (1, 0);
