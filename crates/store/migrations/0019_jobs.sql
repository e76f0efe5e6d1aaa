-- Commands that recur.
CREATE TABLE jobs (
    id              TEXT PRIMARY KEY,
    app_id          TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    name            TEXT NOT NULL,
    -- A cron expression, by the clock of a place.
    schedule        TEXT NOT NULL,
    time_zone       TEXT NOT NULL,
    command         TEXT NOT NULL,
    -- None for that of most dynos.
    size            TEXT,
    -- Seconds that a run may take.
    time_limit      INTEGER NOT NULL CHECK (time_limit > 0),
    overlap         TEXT NOT NULL CHECK (overlap IN ('skip', 'allow', 'replace')),
    missed          TEXT NOT NULL CHECK (missed IN ('skip', 'once')),
    source          TEXT NOT NULL CHECK (source IN ('cli', 'app.json')),
    is_active       INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    -- Of slots up to here it is decided whether they run.
    decided_until   TEXT NOT NULL,
    -- Runs of slots up to here are forgotten: none of them runs again.
    forgotten_until TEXT,
    created_at      TEXT NOT NULL,
    updated_at      TEXT NOT NULL,
    UNIQUE (app_id, name)
) STRICT;

-- What became of each time that a job was to run. The key is what lets a slot run at most once.
CREATE TABLE job_runs (
    job_id      TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    slot_at     TEXT NOT NULL,
    cause       TEXT NOT NULL CHECK (cause IN ('schedule', 'manual')),
    state       TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'succeeded', 'failed', 'skipped', 'missed')),
    -- Written with the dyno's row, and there when that is gone.
    dyno_id     TEXT,
    dyno_name   TEXT,
    -- Whether its container was about to be started.
    is_launched INTEGER NOT NULL DEFAULT 0 CHECK (is_launched IN (0, 1)),
    exit_code   INTEGER,
    reason      TEXT,
    started_at  TEXT,
    ended_at    TEXT,
    PRIMARY KEY (job_id, slot_at)
) STRICT, WITHOUT ROWID;

CREATE INDEX job_runs_by_dyno ON job_runs (dyno_id);
CREATE INDEX job_runs_open ON job_runs (state) WHERE state IN ('waiting', 'running');

-- JSON array of the jobs that app.json names.
ALTER TABLE slugs ADD COLUMN jobs TEXT NOT NULL DEFAULT '[]';
