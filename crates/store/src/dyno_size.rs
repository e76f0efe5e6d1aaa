//! Dyno sizes: those of the host, and what rows say of them by name. What a size may be is `model::size`'s.

use ropewalk_model::DynoSize;
use ropewalk_model::size::{MOST_SIZES, SizeError, SizeName, Sizes};
use rusqlite::{Row, params};

use crate::row::{all, parse_with};
use crate::{Result, StoreError, Tx, View};

fn size(row: &Row<'_>) -> Result<DynoSize> {
    Ok(DynoSize {
        name: parse_with(row, "name", |text| SizeName::parse(text).ok())?,
        revision: row.get("revision")?,
        memory_mib: row.get("memory_mib")?,
        limit_mib: row.get("limit_mib")?,
        cpu_shares: row.get("cpu_shares")?,
        cpu_millis: row.get("cpu_millis")?,
        pids: row.get("pids")?,
        disk_mib: row.get("disk_mib")?,
        price: row.get("price")?,
        dedicated: row.get("dedicated")?,
        sleeps: row.get("sleeps")?,
    })
}

/// The size that a row names.
pub(crate) fn size_of(row: &Row<'_>, sizes: &Sizes) -> Result<DynoSize> {
    parse_with(row, "size", |name| sizes.find(name))
}

impl View<'_> {
    /// Every size there is.
    pub fn sizes(&self) -> Result<Sizes> {
        let mut statement = self.conn.prepare_cached("SELECT * FROM dyno_sizes")?;
        Ok(Sizes::new(all(&mut statement, [], size)?))
    }

    /// Who has a size: texts such as `web of dorado` and `job nightly of dorado`, a few at most.
    fn users_of_size(&self, name: SizeName) -> Result<Vec<String>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT f.type || ' of ' || a.name FROM formations f JOIN apps a ON a.id = f.app_id WHERE f.size = ?1
             UNION SELECT d.type || '.' || d.number || ' of ' || a.name FROM dynos d JOIN apps a ON a.id = d.app_id
                   WHERE d.size = ?1
             UNION SELECT 'job ' || j.name || ' of ' || a.name FROM jobs j JOIN apps a ON a.id = j.app_id
                   WHERE j.size = ?1
             LIMIT 5",
        )?;
        let rows = statement.query_map([name.as_str()], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

impl Tx<'_> {
    /// A size more.
    ///
    /// # Errors
    /// Refused if its name is taken, it has a limit that cannot be, or there are too many.
    pub fn add_size(&self, new: &DynoSize) -> Result<DynoSize> {
        new.check()?;
        let sizes = self.sizes()?;
        if let Some(taken) = sizes.find(new.name.as_str()) {
            return Err(SizeError::Taken(taken.name).into());
        }
        if sizes.iter().count() >= MOST_SIZES {
            return Err(SizeError::TooMany.into());
        }
        self.write_size(new)?;
        Ok(*new)
    }

    /// Other limits for a size. Its dynos get them one after the other, as they get another size; a price changes nothing
    /// for them.
    ///
    /// # Errors
    /// Refused if a limit cannot be, or if dynos that are there would be promised more than the host has.
    pub fn change_size(&self, changed: &DynoSize) -> Result<DynoSize> {
        changed.check()?;
        let known = self.sizes()?.find(changed.name.as_str());
        let known = known.ok_or(StoreError::NotFound("dyno_size"))?;
        let new = DynoSize {
            name: known.name,
            revision: known.revision + u32::from(!changed.limits_as(&known)),
            ..*changed
        };
        let before = self.promised(None)?;
        self.write_size(&new)?;
        self.admit_size(&new, before)?;
        Ok(new)
    }

    /// # Errors
    /// Refused while something has the size, and of the size that new process types get.
    pub fn remove_size(&self, name: SizeName) -> Result<()> {
        if name == DynoSize::DEFAULT.name {
            return Err(SizeError::Usual(name).into());
        }
        let users = self.users_of_size(name)?;
        if !users.is_empty() {
            return Err(SizeError::InUse(name, users.join(", ")).into());
        }
        self.conn
            .execute("DELETE FROM dyno_sizes WHERE name = ?1", [name.as_str()])?;
        Ok(())
    }

    fn write_size(&self, size: &DynoSize) -> Result<()> {
        self.conn.execute(
            "INSERT INTO dyno_sizes (name, revision, memory_mib, limit_mib, cpu_shares, cpu_millis, pids, disk_mib, price,
                                     dedicated, sleeps)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT (name) DO UPDATE SET
                 revision = excluded.revision, memory_mib = excluded.memory_mib, limit_mib = excluded.limit_mib,
                 cpu_shares = excluded.cpu_shares, cpu_millis = excluded.cpu_millis, pids = excluded.pids,
                 disk_mib = excluded.disk_mib, price = excluded.price, dedicated = excluded.dedicated,
                 sleeps = excluded.sleeps",
            params![
                size.name.as_str(),
                size.revision,
                size.memory_mib,
                size.limit_mib,
                size.cpu_shares,
                size.cpu_millis,
                size.pids,
                size.disk_mib,
                size.price,
                size.dedicated,
                size.sleeps
            ],
        )?;
        Ok(())
    }
}
