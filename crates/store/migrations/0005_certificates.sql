CREATE TABLE sni_endpoints (
    id                TEXT PRIMARY KEY,
    app_id            TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    name              TEXT NOT NULL,
    -- PEM, leaf first.
    certificate_chain TEXT NOT NULL,
    -- Sealed PEM.
    private_key       BLOB NOT NULL,
    created_at        TEXT NOT NULL,
    updated_at        TEXT NOT NULL,
    UNIQUE (app_id, name)
) STRICT;

ALTER TABLE domains ADD COLUMN sni_endpoint_id TEXT REFERENCES sni_endpoints (id) ON DELETE SET NULL;
