-- Where other nodes reach a node's API; '' if they can't, and of a node that is too old to say so. Who waits for the
-- table keeps all leases from being renewed: not for long, rather once more later.
SET LOCAL lock_timeout = '2s';
ALTER TABLE ringback.nodes ADD COLUMN url text NOT NULL DEFAULT '';
