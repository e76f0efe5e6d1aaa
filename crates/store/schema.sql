CREATE TABLE acme_accounts (
    directory   TEXT PRIMARY KEY,
    -- Sealed: the key is in it.
    credentials BLOB NOT NULL,
    email       TEXT,
    created_at  TEXT NOT NULL
) STRICT;

CREATE TABLE "acme_orders" (
    id        TEXT PRIMARY KEY,
    hostname  TEXT NOT NULL,
    app_id    TEXT,
    challenge TEXT NOT NULL CHECK (challenge IN ('http-01', 'tls-alpn-01', 'dns-01')),
    began_at  TEXT NOT NULL,
    -- None while it is under way, and when the server ended meanwhile.
    outcome   TEXT CHECK (outcome IN ('issued', 'refused', 'limited', 'away')),
    reason    TEXT
) STRICT;

CREATE TABLE app_sleeps (
    app_id TEXT NOT NULL PRIMARY KEY REFERENCES apps (id) ON DELETE CASCADE,
    tier   TEXT NOT NULL CHECK (tier IN ('frozen', 'stopped')),
    since  TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE app_traffic (
    app_id       TEXT NOT NULL PRIMARY KEY REFERENCES apps (id) ON DELETE CASCADE,
    last_used_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE apps (
    id                TEXT PRIMARY KEY,
    name              TEXT NOT NULL UNIQUE,
    owner_id          TEXT NOT NULL REFERENCES users (id),
    stack             TEXT NOT NULL,
    maintenance       INTEGER NOT NULL DEFAULT 0 CHECK (maintenance IN (0, 1)),
    -- What serves, and what is being put in its place.
    current_version   INTEGER NOT NULL,
    candidate_version INTEGER,
    created_at        TEXT NOT NULL,
    updated_at        TEXT NOT NULL,
    released_at       TEXT
, session_affinity INTEGER NOT NULL DEFAULT 0 CHECK (session_affinity IN (0, 1)), acm INTEGER NOT NULL DEFAULT 0 CHECK (acm IN (0, 1)), acm_asked_at TEXT, ephemeral INTEGER NOT NULL DEFAULT 0 CHECK (ephemeral IN (0, 1))) STRICT;

CREATE TABLE autoscale_events (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id        TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    type          TEXT NOT NULL,
    at            TEXT NOT NULL,
    from_quantity INTEGER NOT NULL,
    to_quantity   INTEGER NOT NULL,
    -- Advice of a dry run is not.
    applied       INTEGER NOT NULL CHECK (applied IN (0, 1)),
    panic         INTEGER NOT NULL CHECK (panic IN (0, 1)),
    reason        TEXT NOT NULL
) STRICT;

CREATE TABLE autoscale_rules (
    id            TEXT PRIMARY KEY,
    app_id        TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    type          TEXT NOT NULL,
    is_active     INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    -- It only says what it would do.
    dry_run       INTEGER NOT NULL CHECK (dry_run IN (0, 1)),
    min_quantity  INTEGER NOT NULL,
    max_quantity  INTEGER NOT NULL,
    -- JSON lists and an object: goals with their sources, hours with other bounds, times and steps.
    targets       TEXT NOT NULL,
    schedules     TEXT NOT NULL,
    pace          TEXT NOT NULL,
    -- Address and secret, sealed. Who is told of each change.
    webhook       BLOB,
    -- Least minutes between two notices.
    notice_period INTEGER NOT NULL,
    -- The newest event that was told, and when that was tried.
    told_event    INTEGER NOT NULL DEFAULT 0,
    told_at       TEXT,
    created_at    TEXT NOT NULL,
    updated_at    TEXT NOT NULL,
    UNIQUE (app_id, type)
) STRICT;

CREATE TABLE buildpacks (
    app_id  TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    url     TEXT NOT NULL,
    PRIMARY KEY (app_id, ordinal)
) STRICT;

CREATE TABLE builds (
    id              TEXT PRIMARY KEY,
    app_id          TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    user_id         TEXT NOT NULL REFERENCES users (id),
    status          TEXT NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),
    commit_sha      TEXT,
    stack           TEXT NOT NULL,
    -- JSON array of {name, url}.
    buildpacks      TEXT NOT NULL DEFAULT '[]',
    -- JSON: what bin/report said, and milliseconds by phase.
    report          TEXT NOT NULL DEFAULT '{}',
    failure         TEXT,
    slug_id         TEXT REFERENCES slugs (id),
    release_version INTEGER,
    created_at      TEXT NOT NULL,
    updated_at      TEXT NOT NULL
, source_url TEXT, source_checksum TEXT, source_description TEXT) STRICT;

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

CREATE TABLE collaborators (
    id         TEXT PRIMARY KEY,
    app_id     TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at TEXT NOT NULL,
    UNIQUE (app_id, user_id)
) STRICT;

CREATE TABLE domains (
    id         TEXT PRIMARY KEY,
    app_id     TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    hostname   TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
, sni_endpoint_id TEXT REFERENCES sni_endpoints (id) ON DELETE SET NULL, acm_status TEXT
    CHECK (acm_status IN ('pending', 'verified', 'ok', 'failing', 'failed')), acm_status_reason TEXT) STRICT;

CREATE TABLE dyno_settings (
    app_id       TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    process_type TEXT NOT NULL DEFAULT '',
    name         TEXT NOT NULL,
    value        TEXT NOT NULL,
    updated_at   TEXT NOT NULL,
    PRIMARY KEY (app_id, process_type, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE dyno_sizes (
    name        TEXT    NOT NULL PRIMARY KEY COLLATE NOCASE,
    revision    INTEGER NOT NULL DEFAULT 1,
    memory_mib  INTEGER NOT NULL,
    limit_mib   INTEGER NOT NULL,
    cpu_shares  INTEGER NOT NULL,
    -- Thousandths of a core; 0 is no limit.
    cpu_millis  INTEGER NOT NULL DEFAULT 0,
    pids        INTEGER NOT NULL,
    -- 0 is no limit.
    disk_mib    INTEGER NOT NULL,
    -- Thousandths of a cent for an hour.
    price       INTEGER,
    dedicated   INTEGER NOT NULL DEFAULT 0,
    sleeps      INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE dynos (
    id              TEXT PRIMARY KEY,
    app_id          TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    type            TEXT NOT NULL,
    number          INTEGER NOT NULL,
    release_version INTEGER NOT NULL,
    size            TEXT NOT NULL,
    command         TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('starting', 'up', 'idle', 'crashed', 'down')),
    -- Why it is in that state: "exit 137, out of memory".
    reason          TEXT,
    -- Crashes in a row, for the back-off.
    crashes         INTEGER NOT NULL DEFAULT 0,
    -- Asked to be replaced (restart), or to be stopped at once.
    retire          TEXT CHECK (retire IN ('replace', 'stop')),
    attached        INTEGER NOT NULL DEFAULT 0 CHECK (attached IN (0, 1)),
    -- Sealed JSON object of variables given with a one-off dyno.
    env             BLOB,
    created_at      TEXT NOT NULL,
    updated_at      TEXT NOT NULL
, one_off INTEGER NOT NULL DEFAULT 0 CHECK (one_off IN (0, 1)), time_to_live INTEGER, size_revision INTEGER NOT NULL DEFAULT 1) STRICT;

CREATE TABLE edge_settings (
    app_id     TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    value      BLOB NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (app_id, name)
) STRICT, WITHOUT ROWID;

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

CREATE TABLE formations (
    id         TEXT PRIMARY KEY,
    app_id     TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    type       TEXT NOT NULL,
    quantity   INTEGER NOT NULL,
    size       TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (app_id, type)
) STRICT;

CREATE TABLE host_memory (
    only_one   INTEGER NOT NULL PRIMARY KEY CHECK (only_one = 1),
    host_mib   INTEGER NOT NULL CHECK (host_mib > 0),
    overcommit INTEGER NOT NULL CHECK (overcommit > 0)
) STRICT;

CREATE TABLE job_runs (
    job_id      TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    slot_at     TEXT NOT NULL,
    cause       TEXT NOT NULL CHECK (cause IN ('schedule', 'manual')),
    state       TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'succeeded', 'failed', 'skipped', 'missed')),
    -- Written with the dyno's row, and there when that is gone.
    dyno_id     TEXT,
    dyno_name   TEXT,
    -- Whether its container was about to be started.
    is_launched INTEGER NOT NULL DEFAULT 0 CHECK (is_launched IN (0, 1)),
    exit_code   INTEGER,
    reason      TEXT,
    started_at  TEXT,
    ended_at    TEXT,
    PRIMARY KEY (job_id, slot_at)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    id              TEXT PRIMARY KEY,
    app_id          TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    name            TEXT NOT NULL,
    -- A cron expression, by the clock of a place.
    schedule        TEXT NOT NULL,
    time_zone       TEXT NOT NULL,
    command         TEXT NOT NULL,
    -- None for that of most dynos.
    size            TEXT,
    -- Seconds that a run may take.
    time_limit      INTEGER NOT NULL CHECK (time_limit > 0),
    overlap         TEXT NOT NULL CHECK (overlap IN ('skip', 'allow', 'replace')),
    missed          TEXT NOT NULL CHECK (missed IN ('skip', 'once')),
    source          TEXT NOT NULL CHECK (source IN ('cli', 'app.json')),
    is_active       INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    -- Of slots up to here it is decided whether they run.
    decided_until   TEXT NOT NULL,
    -- Runs of slots up to here are forgotten: none of them runs again.
    forgotten_until TEXT,
    created_at      TEXT NOT NULL,
    updated_at      TEXT NOT NULL,
    UNIQUE (app_id, name)
) STRICT;

CREATE TABLE log_drains (
    id         TEXT PRIMARY KEY,
    app_id     TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    -- `d.<uuid>`: who the lines say they are from.
    token      TEXT NOT NULL UNIQUE,
    url        BLOB NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;

CREATE TABLE pipeline_config_vars (
    pipeline_id TEXT NOT NULL REFERENCES pipelines (id) ON DELETE CASCADE,
    stage       TEXT NOT NULL CHECK (stage IN ('test', 'review', 'development', 'staging', 'production')),
    config      BLOB NOT NULL,
    updated_at  TEXT NOT NULL,
    PRIMARY KEY (pipeline_id, stage)
) STRICT, WITHOUT ROWID;

CREATE TABLE pipeline_couplings (
    id          TEXT PRIMARY KEY,
    pipeline_id TEXT NOT NULL REFERENCES pipelines (id) ON DELETE CASCADE,
    app_id      TEXT NOT NULL UNIQUE REFERENCES apps (id) ON DELETE CASCADE,
    stage       TEXT NOT NULL CHECK (stage IN ('review', 'development', 'staging', 'production')),
    created_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL
) STRICT;

CREATE TABLE pipeline_promotion_targets (
    id              TEXT PRIMARY KEY,
    promotion_id    TEXT NOT NULL REFERENCES pipeline_promotions (id) ON DELETE CASCADE,
    app_id          TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    release_version INTEGER NOT NULL
) STRICT;

CREATE TABLE pipeline_promotions (
    id                TEXT PRIMARY KEY,
    pipeline_id       TEXT NOT NULL REFERENCES pipelines (id) ON DELETE CASCADE,
    source_app_id     TEXT NOT NULL,
    source_release_id TEXT NOT NULL,
    created_at        TEXT NOT NULL
) STRICT;

CREATE TABLE pipelines (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    owner_id   TEXT NOT NULL REFERENCES users (id),
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;

CREATE TABLE platform_certificates (
    hostname          TEXT PRIMARY KEY,
    id                TEXT NOT NULL UNIQUE,
    -- PEM, leaf first.
    certificate_chain TEXT NOT NULL,
    -- Sealed PEM.
    private_key       BLOB NOT NULL,
    updated_at        TEXT NOT NULL
) STRICT;

CREATE TABLE recovery_codes (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash    BLOB NOT NULL,
    PRIMARY KEY (user_id, hash)
) STRICT;

CREATE TABLE releases (
    id            TEXT PRIMARY KEY,
    app_id        TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    version       INTEGER NOT NULL,
    description   TEXT NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed', 'expired')),
    -- Why it failed, as the user is told.
    failure       TEXT,
    user_id       TEXT NOT NULL REFERENCES users (id),
    slug_id       TEXT REFERENCES slugs (id),
    -- Sealed JSON object of the config vars.
    config        BLOB NOT NULL,
    stack         TEXT NOT NULL,
    stack_version TEXT,
    created_at    TEXT NOT NULL,
    updated_at    TEXT NOT NULL,
    UNIQUE (app_id, version)
) STRICT;

CREATE TABLE slugs (
    id                    TEXT PRIMARY KEY,
    app_id                TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    commit_sha            TEXT,
    -- The read-only image that dynos mount.
    digest          TEXT NOT NULL,
    image_size            INTEGER NOT NULL,
    -- JSON object: process type to command.
    process_types         TEXT NOT NULL,
    buildpack_description TEXT,
    stack                 TEXT NOT NULL,
    -- The form that travels; made when first needed.
    tgz_digest            TEXT,
    tgz_diff_id           TEXT,
    tgz_size              INTEGER,
    created_at            TEXT NOT NULL
, commit_description TEXT, images TEXT NOT NULL DEFAULT '[]', jobs TEXT NOT NULL DEFAULT '[]', checks TEXT NOT NULL DEFAULT '[]') STRICT;

CREATE TABLE sni_endpoints (
    id                TEXT PRIMARY KEY,
    app_id            TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    name              TEXT NOT NULL,
    -- PEM, leaf first.
    certificate_chain TEXT NOT NULL,
    -- Sealed PEM.
    private_key       BLOB NOT NULL,
    created_at        TEXT NOT NULL,
    updated_at        TEXT NOT NULL, acm INTEGER NOT NULL DEFAULT 0 CHECK (acm IN (0, 1)),
    UNIQUE (app_id, name)
) STRICT;

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

CREATE TABLE stacks (
    name       TEXT NOT NULL,
    version    TEXT NOT NULL,
    -- Image references as JSON, written by the stack builder.
    images     TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (name, version)
) STRICT;

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
    created_at   TEXT NOT NULL, proxy_protocol TEXT CHECK (proxy_protocol IN ('v1', 'v2')),
    CHECK ((port IS NULL) <> (hostname IS NULL))
) STRICT;

CREATE TABLE test_cases (
    id          TEXT PRIMARY KEY,
    test_run_id TEXT NOT NULL REFERENCES test_runs (id) ON DELETE CASCADE,
    number      INTEGER NOT NULL,
    passed      INTEGER NOT NULL CHECK (passed IN (0, 1)),
    description TEXT NOT NULL,
    directive   TEXT NOT NULL,
    diagnostic  TEXT NOT NULL,
    created_at  TEXT NOT NULL
) STRICT;

CREATE TABLE test_runs (
    id             TEXT PRIMARY KEY,
    pipeline_id    TEXT NOT NULL REFERENCES pipelines (id) ON DELETE CASCADE,
    number         INTEGER NOT NULL,
    user_id        TEXT NOT NULL REFERENCES users (id),
    status         TEXT NOT NULL CHECK (status IN ('pending', 'creating', 'building', 'running', 'succeeded',
                                                   'failed', 'errored', 'cancelled')),
    commit_branch  TEXT NOT NULL,
    commit_message TEXT NOT NULL,
    commit_sha     TEXT NOT NULL,
    -- As it may be shown: without a login.
    source_url     TEXT NOT NULL,
    -- Why it ended as it did.
    message        TEXT,
    node_id        TEXT NOT NULL UNIQUE,
    dyno_id        TEXT,
    exit_code      INTEGER,
    created_at     TEXT NOT NULL,
    updated_at     TEXT NOT NULL,
    UNIQUE (pipeline_id, number)
) STRICT;

CREATE TABLE tokens (
    id          TEXT PRIMARY KEY,
    user_id     TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash        BLOB NOT NULL UNIQUE,
    hint        TEXT NOT NULL,
    description TEXT NOT NULL,
    scope       TEXT NOT NULL,
    created_at  TEXT NOT NULL,
    expires_at  TEXT
, session INTEGER NOT NULL DEFAULT 0 CHECK (session IN (0, 1)), updated_at TEXT) STRICT;

CREATE TABLE users (
    id            TEXT PRIMARY KEY,
    email         TEXT NOT NULL UNIQUE COLLATE NOCASE,
    name          TEXT,
    admin         INTEGER NOT NULL DEFAULT 0 CHECK (admin IN (0, 1)),
    password_hash TEXT,
    created_at    TEXT NOT NULL,
    updated_at    TEXT NOT NULL
, two_factor BLOB, two_factor_at TEXT, two_factor_step INTEGER NOT NULL DEFAULT 0, last_login TEXT, deleted_at TEXT) STRICT;

CREATE INDEX acme_orders_by_time ON acme_orders (began_at);

CREATE INDEX autoscale_events_by_app ON autoscale_events (app_id, id);

CREATE INDEX builds_by_app ON builds (app_id);

CREATE INDEX canaries_by_canary ON canaries (canary_app_id);

CREATE INDEX collaborators_by_user ON collaborators (user_id);

CREATE INDEX dynos_by_app ON dynos (app_id);

CREATE INDEX expected_slugs_by_app ON expected_slugs (app_id);

CREATE INDEX job_runs_by_dyno ON job_runs (dyno_id);

CREATE INDEX job_runs_open ON job_runs (state) WHERE state IN ('waiting', 'running');

CREATE INDEX log_drains_by_app ON log_drains (app_id);

CREATE INDEX pipeline_couplings_by_pipeline ON pipeline_couplings (pipeline_id);

CREATE INDEX pipeline_promotion_targets_by_promotion ON pipeline_promotion_targets (promotion_id);

CREATE INDEX slugs_by_app ON slugs (app_id);

CREATE INDEX slugs_by_image ON slugs (digest);

CREATE INDEX ssh_keys_by_user ON ssh_keys (user_id);

CREATE INDEX tcp_routes_by_app ON tcp_routes (app_id);

CREATE INDEX test_cases_by_run ON test_cases (test_run_id);

CREATE INDEX tokens_by_user ON tokens (user_id);
