-- Certificates that the platform gets and renews by itself.
ALTER TABLE apps ADD COLUMN acm INTEGER NOT NULL DEFAULT 0 CHECK (acm IN (0, 1));
-- When somebody last asked for new tries: what failed before does not hold them up.
ALTER TABLE apps ADD COLUMN acm_asked_at TEXT;
ALTER TABLE sni_endpoints ADD COLUMN acm INTEGER NOT NULL DEFAULT 0 CHECK (acm IN (0, 1));
ALTER TABLE domains ADD COLUMN acm_status TEXT
    CHECK (acm_status IN ('pending', 'verified', 'ok', 'failing', 'failed'));
ALTER TABLE domains ADD COLUMN acm_status_reason TEXT;

-- Orders of the last days, by host name and not by domain: an authority counts by names too, and a domain that is
-- removed and added again is the same to it.
CREATE TABLE acme_orders (
    id        TEXT PRIMARY KEY,
    hostname  TEXT NOT NULL,
    app_id    TEXT NOT NULL,
    challenge TEXT NOT NULL CHECK (challenge IN ('http-01', 'tls-alpn-01', 'dns-01')),
    began_at  TEXT NOT NULL,
    -- None while it is under way, and when the server ended meanwhile.
    outcome   TEXT CHECK (outcome IN ('issued', 'refused', 'limited', 'away')),
    reason    TEXT
) STRICT;
CREATE INDEX acme_orders_by_time ON acme_orders (began_at);

-- Who we are at an authority.
CREATE TABLE acme_accounts (
    directory   TEXT PRIMARY KEY,
    -- Sealed: the key is in it.
    credentials BLOB NOT NULL,
    email       TEXT,
    created_at  TEXT NOT NULL
) STRICT;
