ALTER TABLE jobs ADD COLUMN replay_of   BLOB; -- the dead job that this one repeats
ALTER TABLE jobs ADD COLUMN replayed_by BLOB; -- the newest job that repeats this one
ALTER TABLE deliveries ADD COLUMN reason TEXT NOT NULL DEFAULT ''; -- why it is dead
ALTER TABLE deliveries ADD COLUMN gone INTEGER NOT NULL DEFAULT 0; -- its bytes are deleted

UPDATE deliveries SET gone = 1 WHERE NOT EXISTS (SELECT 1 FROM bodies WHERE owner = deliveries.id AND part = 4);

CREATE INDEX jobs_dead       ON jobs (id) WHERE status = 3 AND content_gone = 0 AND replayed_by IS NULL;
CREATE INDEX deliveries_dead ON deliveries (id) WHERE status = 2 AND gone = 0;
CREATE INDEX deliveries_manual ON deliveries (due_at) WHERE manual = 1 AND due_at IS NOT NULL;
