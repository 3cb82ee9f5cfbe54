-- Who has the delivery in flight; '' if it is not, or if an older version claimed it.
ALTER TABLE deliveries ADD COLUMN node TEXT NOT NULL DEFAULT '';
