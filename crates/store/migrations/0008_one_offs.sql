-- One-off dynos of any process type, and how long one may run.
ALTER TABLE dynos ADD COLUMN one_off INTEGER NOT NULL DEFAULT 0 CHECK (one_off IN (0, 1));
-- Seconds.
ALTER TABLE dynos ADD COLUMN time_to_live INTEGER;
UPDATE dynos SET one_off = 1 WHERE type = 'run';
