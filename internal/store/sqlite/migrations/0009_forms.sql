-- The form in which a webhook is sent next, and in which it was sent: full, result or thin; '' from before there were forms.
ALTER TABLE deliveries ADD COLUMN form TEXT NOT NULL DEFAULT '';
ALTER TABLE tries ADD COLUMN form TEXT NOT NULL DEFAULT '';
