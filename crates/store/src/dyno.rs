//! Dynos: the intent to run one, and what became of it. Written before a container is made and after it is gone.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ropewalk_model::{AppId, DynoId, DynoName, DynoSize, DynoState, ProcessType, Sizes};
use rusqlite::{Row, params};

use crate::dyno_size::size_of;
use crate::row::{all, first, parse, parse_with, time};
use crate::{Result, StoreError, Tx, View};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dyno {
    pub id: DynoId,
    pub app: AppId,
    pub name: DynoName,
    pub release_version: u32,
    /// With the revision that it was made with.
    pub size: DynoSize,
    /// Shell line that the launcher runs.
    pub command: String,
    pub state: DynoState,
    /// Why it is in that state, in words.
    pub reason: Option<String>,
    /// Crashes in a row.
    pub crashes: u32,
    pub retire: Option<Retire>,
    /// Somebody's command, of whatever process type: the formation knows nothing of it.
    pub one_off: bool,
    /// A one-off whose output goes to a terminal and not to the log.
    pub attached: bool,
    /// Seconds that a one-off may run.
    pub time_to_live: Option<u32>,
    pub created_at: Timestamp,
    /// When it entered its state.
    pub updated_at: Timestamp,
}

/// A request to end a dyno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retire {
    /// Restart: its successor passes first, where the process type allows.
    Replace,
    /// Stop at once.
    Stop,
}

impl Retire {
    fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Stop => "stop",
        }
    }
}

#[derive(Debug, Clone)]
pub struct NewDyno {
    pub id: DynoId,
    pub app: AppId,
    pub name: DynoName,
    pub release_version: u32,
    pub size: DynoSize,
    pub command: String,
    pub crashes: u32,
    pub one_off: bool,
    pub attached: bool,
    /// Seconds that a one-off may run.
    pub time_to_live: Option<u32>,
    /// Extra variables of a one-off dyno.
    pub env: BTreeMap<String, String>,
}

fn dyno(row: &Row<'_>, sizes: &Sizes) -> Result<Dyno> {
    let retire: Option<String> = row.get("retire")?;
    Ok(Dyno {
        id: parse(row, "id")?,
        app: parse(row, "app_id")?,
        name: DynoName {
            process_type: parse_with(row, "type", |text| ProcessType::parse(text).ok())?,
            number: row.get("number")?,
        },
        release_version: row.get("release_version")?,
        size: DynoSize {
            revision: row.get("size_revision")?,
            ..size_of(row, sizes)?
        },
        command: row.get("command")?,
        state: parse_with(row, "state", DynoState::parse)?,
        reason: row.get("reason")?,
        crashes: row.get("crashes")?,
        retire: match retire.as_deref() {
            None => None,
            Some("replace") => Some(Retire::Replace),
            Some("stop") => Some(Retire::Stop),
            Some(other) => {
                return Err(StoreError::Corrupt {
                    what: "retire",
                    value: other.to_owned(),
                });
            }
        },
        one_off: row.get("one_off")?,
        attached: row.get("attached")?,
        time_to_live: row.get("time_to_live")?,
        created_at: parse(row, "created_at")?,
        updated_at: parse(row, "updated_at")?,
    })
}

fn context(id: DynoId) -> String {
    format!("dyno {id}")
}

impl View<'_> {
    /// An app's dynos, by type and number, oldest first where two share a name.
    pub fn dynos(&self, app: AppId) -> Result<Vec<Dyno>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT * FROM dynos WHERE app_id = ?1 ORDER BY type, number, created_at",
        )?;
        let sizes = self.sizes()?;
        all(&mut statement, [app.to_string()], |row| dyno(row, &sizes))
    }

    pub fn all_dynos(&self) -> Result<Vec<Dyno>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM dynos ORDER BY app_id, type, number, created_at")?;
        let sizes = self.sizes()?;
        all(&mut statement, [], |row| dyno(row, &sizes))
    }

    pub fn dyno(&self, id: DynoId) -> Result<Option<Dyno>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM dynos WHERE id = ?1")?;
        let sizes = self.sizes()?;
        first(&mut statement, [id.to_string()], |row| dyno(row, &sizes))
    }

    /// The variables given with a one-off dyno.
    pub fn dyno_env(&self, id: DynoId) -> Result<BTreeMap<String, String>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT env FROM dynos WHERE id = ?1")?;
        let sealed: Option<Vec<u8>> =
            first(&mut statement, [id.to_string()], |row| Ok(row.get(0)?))?.flatten();
        match sealed {
            None => Ok(BTreeMap::new()),
            Some(sealed) => serde_json::from_slice(&self.key.unseal(&context(id), &sealed)?)
                .map_err(|_| StoreError::Unseal),
        }
    }
}

impl Tx<'_> {
    /// Writes the intent; the container is made after.
    pub fn create_dyno(&self, new: &NewDyno, now: Timestamp) -> Result<()> {
        let env = match new.env.is_empty() {
            true => None,
            false => {
                let plain = serde_json::to_vec(&new.env).map_err(|_| StoreError::Unseal)?;
                Some(self.key.seal(&context(new.id), &plain)?)
            }
        };
        self.conn.execute(
            "INSERT INTO dynos (id, app_id, type, number, release_version, size, command, state, crashes,
                                one_off, attached, time_to_live, env, created_at, updated_at, size_revision)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'starting', ?8, ?9, ?10, ?11, ?12, ?13, ?13, ?14)",
            params![
                new.id.to_string(),
                new.app.to_string(),
                new.name.process_type.as_str(),
                new.name.number,
                new.release_version,
                new.size.name.as_str(),
                new.command,
                new.crashes,
                new.one_off,
                new.attached,
                new.time_to_live,
                env,
                time(now),
                new.size.revision
            ],
        )?;
        Ok(())
    }

    /// Writes the intent of a dyno that takes the place of another, whose row goes with it. `false`, and nothing
    /// has changed, when the other is there no longer or somebody asked for its end.
    pub fn replace_dyno(&self, old: DynoId, new: &NewDyno, now: Timestamp) -> Result<bool> {
        if self.dyno(old)?.is_none_or(|dyno| dyno.retire.is_some()) {
            return Ok(false);
        }
        self.delete_dyno(old)?;
        self.create_dyno(new, now)?;
        Ok(true)
    }

    /// Enters a state; saying the same state and reason again changes nothing.
    pub fn set_dyno_state(
        &self,
        id: DynoId,
        state: DynoState,
        reason: Option<&str>,
        crashes: u32,
        now: Timestamp,
    ) -> Result<()> {
        self.conn.execute(
            "UPDATE dynos SET state = ?2, reason = ?3, crashes = ?4,
                              updated_at = CASE WHEN state IS ?2 THEN updated_at ELSE ?5 END
             WHERE id = ?1 AND (state IS NOT ?2 OR reason IS NOT ?3 OR crashes IS NOT ?4)",
            params![id.to_string(), state.as_str(), reason, crashes, time(now)],
        )?;
        Ok(())
    }

    /// Asks for dynos to be ended: all of an app (`None`), of a type, or one by name. Returns how many. One-offs and
    /// release commands end by their name, or by a type that no formation has.
    pub fn retire_dynos(
        &self,
        app: AppId,
        process_type: Option<&ProcessType>,
        number: Option<u32>,
        retire: Retire,
    ) -> Result<usize> {
        Ok(self.conn.execute(
            "UPDATE dynos SET retire = ?4
             WHERE app_id = ?1 AND (?2 IS NULL OR type = ?2) AND (?3 IS NULL OR number = ?3)
               AND (?3 IS NOT NULL OR ?2 IN ('run', 'release')
                    OR ?2 NOT IN (SELECT type FROM formations WHERE app_id = ?1)
                    OR (one_off = 0 AND type NOT IN ('run', 'release')))",
            params![
                app.to_string(),
                process_type.map(|name| name.as_str()),
                number,
                retire.as_str()
            ],
        )?)
    }

    /// Asks for another dyno in the place of one that ran long enough. `None` when it is there no longer, or somebody
    /// asked for its end already.
    pub fn cycle_dyno(&self, id: DynoId) -> Result<Option<Dyno>> {
        self.conn.execute(
            "UPDATE dynos SET retire = 'replace' WHERE id = ?1 AND retire IS NULL",
            [id.to_string()],
        )?;
        let asked = self.conn.changes() > 0;
        Ok(self.dyno(id)?.filter(|_| asked))
    }

    /// The container is gone.
    pub fn delete_dyno(&self, id: DynoId) -> Result<bool> {
        Ok(self
            .conn
            .execute("DELETE FROM dynos WHERE id = ?1", [id.to_string()])?
            > 0)
    }
}
