-- The call that caused a hold, as the node noted it; '' of a hold that an older version stored.
ALTER TABLE holds ADD COLUMN cause TEXT NOT NULL DEFAULT '';
