-- Pipelines: apps that carry the same code, by stage.
CREATE TABLE pipelines (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    owner_id   TEXT NOT NULL REFERENCES users (id),
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;

-- An app is in one pipeline at most.
CREATE TABLE pipeline_couplings (
    id          TEXT PRIMARY KEY,
    pipeline_id TEXT NOT NULL REFERENCES pipelines (id) ON DELETE CASCADE,
    app_id      TEXT NOT NULL UNIQUE REFERENCES apps (id) ON DELETE CASCADE,
    stage       TEXT NOT NULL CHECK (stage IN ('review', 'development', 'staging', 'production')),
    created_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL
) STRICT;
CREATE INDEX pipeline_couplings_by_pipeline ON pipeline_couplings (pipeline_id);

-- Config vars of a stage: a sealed JSON object.
CREATE TABLE pipeline_config_vars (
    pipeline_id TEXT NOT NULL REFERENCES pipelines (id) ON DELETE CASCADE,
    stage       TEXT NOT NULL CHECK (stage IN ('test', 'review', 'development', 'staging', 'production')),
    config      BLOB NOT NULL,
    updated_at  TEXT NOT NULL,
    PRIMARY KEY (pipeline_id, stage)
) STRICT, WITHOUT ROWID;

-- The source app may be gone.
CREATE TABLE pipeline_promotions (
    id                TEXT PRIMARY KEY,
    pipeline_id       TEXT NOT NULL REFERENCES pipelines (id) ON DELETE CASCADE,
    source_app_id     TEXT NOT NULL,
    source_release_id TEXT NOT NULL,
    created_at        TEXT NOT NULL
) STRICT;

-- How a target is doing is what its release is doing.
CREATE TABLE pipeline_promotion_targets (
    id              TEXT PRIMARY KEY,
    promotion_id    TEXT NOT NULL REFERENCES pipeline_promotions (id) ON DELETE CASCADE,
    app_id          TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    release_version INTEGER NOT NULL
) STRICT;
CREATE INDEX pipeline_promotion_targets_by_promotion ON pipeline_promotion_targets (promotion_id);

-- A test run and its one node.
CREATE TABLE test_runs (
    id             TEXT PRIMARY KEY,
    pipeline_id    TEXT NOT NULL REFERENCES pipelines (id) ON DELETE CASCADE,
    number         INTEGER NOT NULL,
    user_id        TEXT NOT NULL REFERENCES users (id),
    status         TEXT NOT NULL CHECK (status IN ('pending', 'creating', 'building', 'running', 'succeeded',
                                                   'failed', 'errored', 'cancelled')),
    commit_branch  TEXT NOT NULL,
    commit_message TEXT NOT NULL,
    commit_sha     TEXT NOT NULL,
    -- As it may be shown: without a login.
    source_url     TEXT NOT NULL,
    -- Why it ended as it did.
    message        TEXT,
    node_id        TEXT NOT NULL UNIQUE,
    dyno_id        TEXT,
    exit_code      INTEGER,
    created_at     TEXT NOT NULL,
    updated_at     TEXT NOT NULL,
    UNIQUE (pipeline_id, number)
) STRICT;

-- What tests that speak TAP said, one by one.
CREATE TABLE test_cases (
    id          TEXT PRIMARY KEY,
    test_run_id TEXT NOT NULL REFERENCES test_runs (id) ON DELETE CASCADE,
    number      INTEGER NOT NULL,
    passed      INTEGER NOT NULL CHECK (passed IN (0, 1)),
    description TEXT NOT NULL,
    directive   TEXT NOT NULL,
    diagnostic  TEXT NOT NULL,
    created_at  TEXT NOT NULL
) STRICT;
CREATE INDEX test_cases_by_run ON test_cases (test_run_id);

-- An app that a test run makes for itself: it has the run's id, ends with it, and is shown to nobody.
ALTER TABLE apps ADD COLUMN ephemeral INTEGER NOT NULL DEFAULT 0 CHECK (ephemeral IN (0, 1));
