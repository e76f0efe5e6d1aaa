-- Autoscaling: what is wanted of a process type, at most one of each name.
CREATE TABLE monitors (
    id                  TEXT PRIMARY KEY,
    app_id              TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    type                TEXT NOT NULL,
    name                TEXT NOT NULL CHECK (name IN ('LATENCY_SCALE')),
    is_active           INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    op                  TEXT NOT NULL,
    -- Minutes.
    period              INTEGER NOT NULL,
    -- Wanted p95 in milliseconds.
    value               INTEGER NOT NULL,
    min_quantity        INTEGER NOT NULL,
    max_quantity        INTEGER NOT NULL,
    -- Minutes.
    notification_period INTEGER NOT NULL,
    created_at          TEXT NOT NULL,
    updated_at          TEXT NOT NULL,
    UNIQUE (app_id, type, name)
) STRICT;
