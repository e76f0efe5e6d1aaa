//! Brings a ledger to the newest schema: numbered SQL files, one transaction each, `PRAGMA user_version`.

use rusqlite::Connection;

/// In order; a file that was released is never edited, only followed by another.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_init.sql"),
    include_str!("../migrations/0002_accounts.sql"),
    include_str!("../migrations/0003_sources.sql"),
    include_str!("../migrations/0004_drains.sql"),
    include_str!("../migrations/0005_certificates.sql"),
    include_str!("../migrations/0007_monitors.sql"),
    include_str!("../migrations/0006_ssh_keys.sql"),
    include_str!("../migrations/0008_one_offs.sql"),
    include_str!("../migrations/0009_session_affinity.sql"),
    include_str!("../migrations/0010_edge.sql"),
    include_str!("../migrations/0011_acm.sql"),
    include_str!("../migrations/0012_platform_certificates.sql"),
    include_str!("../migrations/0013_pipelines.sql"),
    include_str!("../migrations/0014_canaries.sql"),
    include_str!("../migrations/0015_tcp_routes.sql"),
    include_str!("../migrations/0016_slugs_of_images.sql"),
    include_str!("../migrations/0017_tcp_proxy_protocol.sql"),
    include_str!("../migrations/0018_autoscale.sql"),
    include_str!("../migrations/0019_jobs.sql"),
    include_str!("../migrations/0020_dyno_settings.sql"),
    include_str!("../migrations/0021_sleep.sql"),
    include_str!("../migrations/0022_checks.sql"),
    include_str!("../migrations/0023_host_memory.sql"),
    include_str!("../migrations/0024_dyno_sizes.sql"),
];

/// Schema version of this build.
pub(crate) const KNOWN: u32 = MIGRATIONS.len() as u32;

pub(crate) fn version(conn: &Connection) -> rusqlite::Result<u32> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
}

pub(crate) fn run(conn: &mut Connection) -> rusqlite::Result<()> {
    let at = version(conn)? as usize;
    for (index, sql) in MIGRATIONS.iter().enumerate().skip(at) {
        let tx = conn.transaction()?;
        tx.execute_batch(sql)?;
        tx.pragma_update(None, "user_version", index as u32 + 1)?;
        tx.commit()?;
    }
    Ok(())
}

/// The schema that the migrations give, as one text; `schema.sql` is held equal to it by a test.
pub fn schema() -> crate::Result<String> {
    let mut conn = Connection::open_in_memory()?;
    run(&mut conn)?;
    let mut statement = conn.prepare(
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type DESC, name",
    )?;
    let parts = statement
        .query_map([], |row| row.get::<_, String>(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(format!("{};\n", parts.join(";\n\n")))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::MIGRATIONS;

    #[test]
    fn monitors_become_rules_with_one_target() {
        let conn = Connection::open_in_memory().unwrap();
        let at = MIGRATIONS
            .iter()
            .position(|sql| sql.contains("CREATE TABLE autoscale_rules"))
            .unwrap();
        for sql in &MIGRATIONS[..at] {
            conn.execute_batch(sql).unwrap();
        }
        conn.execute_batch(
            "PRAGMA foreign_keys = OFF;
             INSERT INTO monitors (id, app_id, type, name, is_active, op, period, value, min_quantity, max_quantity,
                 notification_period, created_at, updated_at)
             VALUES ('m', 'a', 'web', 'LATENCY_SCALE', 1, 'GREATER_OR_EQUAL', 1, 750, 2, 9, 1440, 'then', 'now')",
        )
        .unwrap();
        conn.execute_batch(MIGRATIONS[at]).unwrap();
        let row = conn
            .query_row(
                "SELECT id || type || is_active || dry_run || min_quantity || max_quantity || targets
                     || schedules || pace || notice_period || created_at || updated_at || (webhook IS NULL)
                 FROM autoscale_rules",
                [],
                |row| row.get::<_, String>(0),
            )
            .unwrap();
        assert_eq!(
            row,
            r#"mweb1029[{"kind":"p95","goal":750}][]{}1440thennow1"#
        );
        assert!(conn.prepare("SELECT * FROM monitors").is_err());
    }

    #[test]
    fn schema_sql_is_what_the_migrations_give() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.sql");
        let made = super::schema().unwrap();
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(
            made, kept,
            "run with UPDATE_EXPECT=1 and read the difference"
        );
    }
}
