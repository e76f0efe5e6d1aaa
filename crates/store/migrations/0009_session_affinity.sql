-- Whether a client comes to the web dyno again that it came to before.
ALTER TABLE apps ADD COLUMN session_affinity INTEGER NOT NULL DEFAULT 0 CHECK (session_affinity IN (0, 1));
