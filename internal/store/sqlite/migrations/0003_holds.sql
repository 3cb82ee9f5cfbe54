-- What is not to be called, and until when; model '' is the provider's key.
CREATE TABLE holds (
  provider TEXT    NOT NULL,
  model    TEXT    NOT NULL,
  until    INTEGER NOT NULL,
  reason   TEXT    NOT NULL,
  key      TEXT    NOT NULL, -- the hash of the key that is held, '' of a model
  PRIMARY KEY (provider, model)
) WITHOUT ROWID;
