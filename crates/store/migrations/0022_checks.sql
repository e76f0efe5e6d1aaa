-- JSON array of the health checks that app.json and ropewalk.toml declare.
ALTER TABLE slugs ADD COLUMN checks TEXT NOT NULL DEFAULT '[]';
