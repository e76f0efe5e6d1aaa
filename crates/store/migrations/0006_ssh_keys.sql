-- SSH public keys: who shows the private one to one of these pushes as that account.
CREATE TABLE ssh_keys (
    id          TEXT PRIMARY KEY,
    user_id     TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- SHA256:… of the key itself, as ssh-keygen -l prints it.
    fingerprint TEXT NOT NULL UNIQUE,
    -- As it was given: kind, base64, comment.
    public_key  TEXT NOT NULL,
    comment     TEXT NOT NULL,
    created_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL
) STRICT;
CREATE INDEX ssh_keys_by_user ON ssh_keys (user_id);
