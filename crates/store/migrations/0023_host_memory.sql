-- The memory of the host, as the server found it at its start, and how much of it dynos may be promised. One row, or none
-- while no server has looked.
CREATE TABLE host_memory (
    only_one   INTEGER NOT NULL PRIMARY KEY CHECK (only_one = 1),
    host_mib   INTEGER NOT NULL CHECK (host_mib > 0),
    overcommit INTEGER NOT NULL CHECK (overcommit > 0)
) STRICT;
