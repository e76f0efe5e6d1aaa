-- What an app asks of the router before a request reaches it, a row for each setting. A value may hold the digest of a
-- password, so it is sealed.
CREATE TABLE edge_settings (
    app_id     TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    value      BLOB NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (app_id, name)
) STRICT, WITHOUT ROWID;
