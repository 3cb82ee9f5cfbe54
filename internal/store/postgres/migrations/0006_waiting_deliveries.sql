-- Deliveries that wait for a try, in the order of a list. One that is in flight is not in here, so that what is
-- delivered at once never was: a list reads deliveries_in_flight beside it. Nobody writes a delivery while the index
-- is made, and who waits for the table keeps others waiting: not for long, rather once more later.
SET LOCAL lock_timeout = '2s';
CREATE INDEX deliveries_waiting ON ringback.deliveries (id) WHERE due_at IS NOT NULL AND status = 0;
