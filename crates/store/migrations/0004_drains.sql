-- Where an app's log is sent besides. An address may hold credentials, so it is sealed; that an app has each only
-- once is looked after by the code, for a hash would let one guess at them.
CREATE TABLE log_drains (
    id         TEXT PRIMARY KEY,
    app_id     TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    -- `d.<uuid>`: who the lines say they are from.
    token      TEXT NOT NULL UNIQUE,
    url        BLOB NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX log_drains_by_app ON log_drains (app_id);
