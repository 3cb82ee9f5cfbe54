-- A transaction that waits for a lock keeps the others of its process waiting.
CREATE OR REPLACE FUNCTION ringback.settings() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('statement_timeout', '10s', true), set_config('lock_timeout', '1200ms', true),
    set_config('idle_in_transaction_session_timeout', '4s', true), set_config('jit', 'off', true),
    set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
    set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true);
END $$;

-- Large content is sent before the transaction that stores it: as a body with the owner id and part 0.
CREATE TABLE ringback.uploads (
  id uuid        PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
