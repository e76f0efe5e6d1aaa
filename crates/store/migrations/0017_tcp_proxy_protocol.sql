-- Of the header that names the client to the dynos of a TCP route; none without.
ALTER TABLE tcp_routes ADD COLUMN proxy_protocol TEXT CHECK (proxy_protocol IN ('v1', 'v2'));
