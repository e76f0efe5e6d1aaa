-- Archives that come in: where a build's source came from, and slugs whose archive has not come yet.

-- NULL: pushed with git. The address is kept as it may be shown, without a login.
ALTER TABLE builds ADD COLUMN source_url TEXT;
ALTER TABLE builds ADD COLUMN source_checksum TEXT;
ALTER TABLE builds ADD COLUMN source_description TEXT;

ALTER TABLE slugs ADD COLUMN commit_description TEXT;

-- Becomes a row of `slugs`, under the same id, when its archive has come and is sound.
CREATE TABLE expected_slugs (
    id                    TEXT PRIMARY KEY,
    app_id                TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    commit_sha            TEXT,
    commit_description    TEXT,
    -- `SHA256:…` that the archive must have.
    checksum              TEXT,
    -- JSON object: process type to command.
    process_types         TEXT NOT NULL,
    buildpack_description TEXT,
    stack                 TEXT NOT NULL,
    created_at            TEXT NOT NULL
) STRICT;
CREATE INDEX expected_slugs_by_app ON expected_slugs (app_id);
