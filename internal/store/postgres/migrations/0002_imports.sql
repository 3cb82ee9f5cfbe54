-- The one store whose jobs were carried into this database, and how far that has come.
CREATE TABLE ringback.imports (
  source     text COLLATE "C" NOT NULL PRIMARY KEY, -- names it in the state in which it was
  writer     uuid   NOT NULL, -- under which its counters are
  after      uuid   NOT NULL, -- the last job that is here, with all that belongs to it
  -- rows that are here, or were
  jobs       bigint NOT NULL DEFAULT 0,
  attempts   bigint NOT NULL DEFAULT 0,
  deliveries bigint NOT NULL DEFAULT 0,
  tries      bigint NOT NULL DEFAULT 0,
  bodies     bigint NOT NULL DEFAULT 0,
  began_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at   timestamptz
);
CREATE UNIQUE INDEX imports_one ON ringback.imports ((true));
