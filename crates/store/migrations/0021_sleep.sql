-- Apps that sleep, and since when. Frozen: the processes of their dynos are stopped where they are; stopped: there are none.
CREATE TABLE app_sleeps (
    app_id TEXT NOT NULL PRIMARY KEY REFERENCES apps (id) ON DELETE CASCADE,
    tier   TEXT NOT NULL CHECK (tier IN ('frozen', 'stopped')),
    since  TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- When an app was last asked for something, as far as it matters after a restart of the server.
CREATE TABLE app_traffic (
    app_id       TEXT NOT NULL PRIMARY KEY REFERENCES apps (id) ON DELETE CASCADE,
    last_used_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
