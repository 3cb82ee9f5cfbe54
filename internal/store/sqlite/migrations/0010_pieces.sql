-- Content of more than 1 MiB lies in pieces. The first is where the whole was, those behind it have 16, 32, 48… added to
-- its part. What was stored before stays in one piece; an older binary would take the first piece for all.
UPDATE store SET oldest_schema = 10;
