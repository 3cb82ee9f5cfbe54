-- A large request is stored ahead of its job, piece by piece. These are the jobs that are not stored yet: a start deletes
-- their pieces. An older binary would leave them for ever, and nothing would read them.
CREATE TABLE staged (owner BLOB PRIMARY KEY) WITHOUT ROWID;
