-- Several people on one installation: who works on which app, second factors, sessions.

-- The owner stands in `apps`, not here.
CREATE TABLE collaborators (
    id         TEXT PRIMARY KEY,
    app_id     TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at TEXT NOT NULL,
    UNIQUE (app_id, user_id)
) STRICT;
CREATE INDEX collaborators_by_user ON collaborators (user_id);

-- Sealed secret of the second factor. It counts once `two_factor_at` is there; until then it waits for a first code.
ALTER TABLE users ADD COLUMN two_factor BLOB;
ALTER TABLE users ADD COLUMN two_factor_at TEXT;
-- The last 30 seconds whose code was used; an older code, or the same again, is refused.
ALTER TABLE users ADD COLUMN two_factor_step INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN last_login TEXT;
-- The row stays as long as builds and releases name it; nobody can log in by it.
ALTER TABLE users ADD COLUMN deleted_at TEXT;

-- Each is good once, in place of a code. Kept as the SHA-256 of its text.
CREATE TABLE recovery_codes (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash    BLOB NOT NULL,
    PRIMARY KEY (user_id, hash)
) STRICT;

-- Made by logging in, rather than by asking for a token.
ALTER TABLE tokens ADD COLUMN session INTEGER NOT NULL DEFAULT 0 CHECK (session IN (0, 1));
-- NULL: as it was made.
ALTER TABLE tokens ADD COLUMN updated_at TEXT;
CREATE INDEX tokens_by_user ON tokens (user_id);
UPDATE tokens SET session = 1 WHERE description LIKE 'Ropewalk CLI login%' OR description LIKE 'Heroku CLI login%';
