//! Stack versions that were built or loaded here.

use jiff::Timestamp;
use rusqlite::{Row, params};
use serde_json::Value;

use crate::row::{all, first, json, parse, time, to_json};
use crate::{Result, Tx, View};

#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    pub name: String,
    /// `sha256:…`.
    pub version: String,
    /// References of the run and build image, in the stack builder's own form.
    pub images: Value,
    pub created_at: Timestamp,
}

/// How many apps run on a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackUse {
    pub name: String,
    pub version: String,
    pub apps: u32,
}

fn stack(row: &Row<'_>) -> Result<Stack> {
    Ok(Stack {
        name: row.get("name")?,
        version: row.get("version")?,
        images: json(row, "images")?,
        created_at: parse(row, "created_at")?,
    })
}

impl View<'_> {
    /// Every version of every stack, newest first within a name.
    pub fn stacks(&self) -> Result<Vec<Stack>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM stacks ORDER BY name, created_at DESC, version")?;
        all(&mut statement, [], stack)
    }

    /// The newest version of a stack.
    pub fn newest_stack(&self, name: &str) -> Result<Option<Stack>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT * FROM stacks WHERE name = ?1 ORDER BY created_at DESC LIMIT 1",
        )?;
        first(&mut statement, [name], stack)
    }

    pub fn stack_version(&self, version: &str) -> Result<Option<Stack>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM stacks WHERE version = ?1 LIMIT 1")?;
        first(&mut statement, [version], stack)
    }

    /// The versions that current releases with code are on, those of test runs apart.
    pub fn stacks_in_use(&self) -> Result<Vec<StackUse>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT r.stack, r.stack_version, COUNT(*) AS apps FROM apps a
             JOIN releases r ON r.app_id = a.id AND r.version = a.current_version
             WHERE NOT a.ephemeral AND r.slug_id IS NOT NULL AND r.stack_version IS NOT NULL
             GROUP BY r.stack, r.stack_version ORDER BY r.stack, r.stack_version",
        )?;
        all(&mut statement, [], |row| {
            Ok(StackUse {
                name: row.get("stack")?,
                version: row.get("stack_version")?,
                apps: row.get("apps")?,
            })
        })
    }
}

impl Tx<'_> {
    /// Adds a version, or makes a known one the newest.
    pub fn put_stack(
        &self,
        name: &str,
        version: &str,
        images: &Value,
        now: Timestamp,
    ) -> Result<()> {
        self.conn.execute(
            "INSERT INTO stacks (name, version, images, created_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (name, version) DO UPDATE SET images = excluded.images, created_at = excluded.created_at",
            params![name, version, to_json(images)?, time(now)],
        )?;
        Ok(())
    }
}
