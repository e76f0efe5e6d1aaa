-- Bytes that come in on a port of the host, or over TLS for a name, go to an app's dynos as they are.
CREATE TABLE tcp_routes (
    id           TEXT PRIMARY KEY,
    app_id       TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    process_type TEXT NOT NULL,
    -- One of the two: where clients come in.
    port         INTEGER UNIQUE CHECK (port BETWEEN 1 AND 65535),
    -- Lower case, no dot at its end. No row of `domains` has the same.
    hostname     TEXT UNIQUE,
    -- Where the dynos listen.
    dyno_port    INTEGER NOT NULL CHECK (dyno_port BETWEEN 1 AND 65535),
    -- Seconds for which a connection may be silent.
    idle_timeout INTEGER NOT NULL CHECK (idle_timeout > 0),
    created_at   TEXT NOT NULL,
    CHECK ((port IS NULL) <> (hostname IS NULL))
) STRICT;

CREATE INDEX tcp_routes_by_app ON tcp_routes (app_id);
