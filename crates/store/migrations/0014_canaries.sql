-- Another app whose dynos answer some of an app's requests. It ends with either of the two.
CREATE TABLE canaries (
    app_id        TEXT PRIMARY KEY REFERENCES apps (id) ON DELETE CASCADE,
    canary_app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE CHECK (canary_app_id <> app_id),
    -- Hundredths of a percent of the app's clients.
    weight        INTEGER CHECK (weight BETWEEN 0 AND 10000),
    -- Name of the cookie by which a client asks for one of the two.
    cookie        TEXT,
    updated_at    TEXT NOT NULL,
    CHECK (weight IS NOT NULL OR cookie IS NOT NULL)
) STRICT;

CREATE INDEX canaries_by_canary ON canaries (canary_app_id);
