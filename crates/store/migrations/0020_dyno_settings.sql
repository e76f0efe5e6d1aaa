-- How an app's dynos start and stop where it asks for something else than the platform's habits, a row for each setting;
-- of one process type, or (empty) of all that say nothing else.
CREATE TABLE dyno_settings (
    app_id       TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    process_type TEXT NOT NULL DEFAULT '',
    name         TEXT NOT NULL,
    value        TEXT NOT NULL,
    updated_at   TEXT NOT NULL,
    PRIMARY KEY (app_id, process_type, name)
) STRICT, WITHOUT ROWID;
