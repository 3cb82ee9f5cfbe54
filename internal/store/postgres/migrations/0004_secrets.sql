-- What nobody outside may know, made by whoever needs it first.
CREATE TABLE ringback.secrets (
  name  text  COLLATE "C" NOT NULL PRIMARY KEY,
  value bytea NOT NULL
);
