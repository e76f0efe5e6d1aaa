-- Certificates of the platform's own names, which no app's domain stands for.
CREATE TABLE platform_certificates (
    hostname          TEXT PRIMARY KEY,
    id                TEXT NOT NULL UNIQUE,
    -- PEM, leaf first.
    certificate_chain TEXT NOT NULL,
    -- Sealed PEM.
    private_key       BLOB NOT NULL,
    updated_at        TEXT NOT NULL
) STRICT;

-- Orders for such names have no app.
CREATE TABLE orders (
    id        TEXT PRIMARY KEY,
    hostname  TEXT NOT NULL,
    app_id    TEXT,
    challenge TEXT NOT NULL CHECK (challenge IN ('http-01', 'tls-alpn-01', 'dns-01')),
    began_at  TEXT NOT NULL,
    -- None while it is under way, and when the server ended meanwhile.
    outcome   TEXT CHECK (outcome IN ('issued', 'refused', 'limited', 'away')),
    reason    TEXT
) STRICT;
INSERT INTO orders SELECT id, hostname, app_id, challenge, began_at, outcome, reason FROM acme_orders;
DROP TABLE acme_orders;
ALTER TABLE orders RENAME TO acme_orders;
CREATE INDEX acme_orders_by_time ON acme_orders (began_at);
