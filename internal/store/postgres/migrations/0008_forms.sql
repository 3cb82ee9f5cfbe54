-- The form in which a webhook is sent next, and in which it was sent: full, result or thin; '' from before there were forms.
-- Who waits for a table keeps all that is sent from being settled: not for long, rather once more later.
SET LOCAL lock_timeout = '2s';
ALTER TABLE ringback.deliveries ADD COLUMN form text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE ringback.tries ADD COLUMN form text COLLATE "C" NOT NULL DEFAULT '';
