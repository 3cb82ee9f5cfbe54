ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0 CHECK (priority BETWEEN 0 AND 9);

-- A claim asks for one priority after the other, the highest first. So jobs of a
-- high priority that are not due yet do not stand in front of those that are.
DROP INDEX jobs_ready;
CREATE INDEX jobs_ready ON jobs (project, provider, model, priority, run_at, id) WHERE status = 0 AND uncertain < 3;
