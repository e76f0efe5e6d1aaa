-- What process types are scaled by. Monitors of Heroku's kind are rules with one target.
CREATE TABLE autoscale_rules (
    id            TEXT PRIMARY KEY,
    app_id        TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    type          TEXT NOT NULL,
    is_active     INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    -- It only says what it would do.
    dry_run       INTEGER NOT NULL CHECK (dry_run IN (0, 1)),
    min_quantity  INTEGER NOT NULL,
    max_quantity  INTEGER NOT NULL,
    -- JSON lists and an object: goals with their sources, hours with other bounds, times and steps.
    targets       TEXT NOT NULL,
    schedules     TEXT NOT NULL,
    pace          TEXT NOT NULL,
    -- Address and secret, sealed. Who is told of each change.
    webhook       BLOB,
    -- Least minutes between two notices.
    notice_period INTEGER NOT NULL,
    -- The newest event that was told, and when that was tried.
    told_event    INTEGER NOT NULL DEFAULT 0,
    told_at       TEXT,
    created_at    TEXT NOT NULL,
    updated_at    TEXT NOT NULL,
    UNIQUE (app_id, type)
) STRICT;

INSERT INTO autoscale_rules
    (id, app_id, type, is_active, dry_run, min_quantity, max_quantity, targets, schedules, pace, notice_period,
     created_at, updated_at)
SELECT id, app_id, type, is_active, 0, min_quantity, max_quantity,
       json_array(json_object('kind', 'p95', 'goal', value)), '[]', '{}', notification_period, created_at, updated_at
FROM monitors;

DROP TABLE monitors;

-- What was decided: the newest of each app.
CREATE TABLE autoscale_events (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id        TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    type          TEXT NOT NULL,
    at            TEXT NOT NULL,
    from_quantity INTEGER NOT NULL,
    to_quantity   INTEGER NOT NULL,
    -- Advice of a dry run is not.
    applied       INTEGER NOT NULL CHECK (applied IN (0, 1)),
    panic         INTEGER NOT NULL CHECK (panic IN (0, 1)),
    reason        TEXT NOT NULL
) STRICT;

CREATE INDEX autoscale_events_by_app ON autoscale_events (app_id, id);
