-- Dyno sizes are the operator's. A new host has Heroku's names and memory; limits and prices may be changed, sizes added.
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

INSERT INTO dyno_sizes (name, memory_mib, limit_mib, cpu_shares, pids, disk_mib, dedicated, sleeps) VALUES
    ('Eco', 512, 1024, 256, 256, 4096, 0, 1),
    ('Basic', 512, 1024, 512, 256, 4096, 0, 0),
    ('Standard-1X', 512, 1024, 512, 256, 4096, 0, 0),
    ('Standard-2X', 1024, 2048, 1024, 512, 8192, 0, 0),
    ('Performance-M', 2560, 2560, 4096, 16384, 16384, 1, 0),
    ('Performance-L', 14336, 14336, 16384, 32768, 32768, 1, 0);

-- Of the size's limits that a dyno was made with.
ALTER TABLE dynos ADD COLUMN size_revision INTEGER NOT NULL DEFAULT 1;
