-- The call that caused a hold, as the node noted it; '' of a hold that an older version stored.
SET LOCAL lock_timeout = '2s';
ALTER TABLE ringback.holds ADD COLUMN cause text NOT NULL DEFAULT '';
