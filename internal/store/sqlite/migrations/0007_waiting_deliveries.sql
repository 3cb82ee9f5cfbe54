-- Deliveries that wait for a try, in the order of a list. One that is in flight is not in here, so that what is
-- delivered at once never was: a list reads deliveries_in_flight beside it.
CREATE INDEX deliveries_waiting ON deliveries (id) WHERE due_at IS NOT NULL AND status = 0;
