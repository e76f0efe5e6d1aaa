//! The memory that dynos are promised, and whether more fits. The rule is `model::admission`'s; here is what it is told.

use ropewalk_model::admission::{Asked, Memory};
use ropewalk_model::{AppId, DynoSize, ProcessType, SleepTier};
use rusqlite::{Row, params};

use crate::row::first;
use crate::{Result, Tx, View};

fn memory(row: &Row<'_>) -> Result<Memory> {
    Ok(Memory {
        host_mib: row.get("host_mib")?,
        overcommit: row.get("overcommit")?,
    })
}

impl View<'_> {
    /// `None` while no server has looked at its host: then everything is admitted.
    pub fn host_memory(&self) -> Result<Option<Memory>> {
        let mut statement = self.conn.prepare_cached("SELECT * FROM host_memory")?;
        first(&mut statement, [], memory)
    }

    /// MiB that dynos are promised: of all formations as far as there are commands for them, of apps that are not stopped,
    /// and of one-off dynos. Those of one app's process type are left out.
    pub(crate) fn promised(&self, but: Option<(AppId, &ProcessType)>) -> Result<u64> {
        let sleeps = self.app_sleeps()?;
        let mut sum = 0;
        for app in self.apps()? {
            let stopped =
                (sleeps.get(&app.id)).is_some_and(|sleep| sleep.tier == SleepTier::Stopped);
            if stopped {
                continue;
            }
            for row in self.formation(app.id)? {
                if but != Some((app.id, &row.process_type)) {
                    sum += u64::from(row.quantity) * row.size.memory_mib;
                }
            }
        }
        let one_offs = self.all_dynos()?.into_iter().filter(|dyno| dyno.one_off);
        Ok(sum + one_offs.map(|dyno| dyno.size.memory_mib).sum::<u64>())
    }
}

impl Tx<'_> {
    /// What the server found.
    pub fn set_host_memory(&self, memory: Memory) -> Result<()> {
        self.conn.execute(
            "INSERT INTO host_memory (only_one, host_mib, overcommit) VALUES (1, ?1, ?2)
             ON CONFLICT DO UPDATE SET host_mib = excluded.host_mib, overcommit = excluded.overcommit",
            params![memory.host_mib, memory.overcommit],
        )?;
        Ok(())
    }

    /// Whether a process type may have so many of a size, where `before` is what it has.
    ///
    /// # Errors
    /// A refusal that says what would fit.
    pub(crate) fn admit(
        &self,
        app: AppId,
        process_type: &ProcessType,
        (quantity, size): (u32, DynoSize),
        (quantity_before, size_before): (u32, DynoSize),
    ) -> Result<()> {
        let Some(memory) = self.host_memory()? else {
            return Ok(());
        };
        let before = u64::from(quantity_before) * size_before.memory_mib;
        if u64::from(quantity) * size.memory_mib <= before {
            return Ok(());
        }
        let asked = Asked {
            process_type: process_type.as_str(),
            quantity,
            size,
        };
        let others = self.promised(Some((app, process_type)))?;
        Ok(memory.admit(asked, before, others)?)
    }

    /// Whether a size may have become as it is, where `before` MiB were promised.
    ///
    /// # Errors
    /// A refusal that says by how much it is too much.
    pub(crate) fn admit_size(&self, size: &DynoSize, before: u64) -> Result<()> {
        match self.host_memory()? {
            Some(memory) => Ok(memory.admit_size(size.name, before, self.promised(None)?)?),
            None => Ok(()),
        }
    }

    /// Whether there is room for one more one-off dyno.
    ///
    /// # Errors
    /// A refusal that says what would fit.
    pub fn admit_one_off(&self, process_type: &ProcessType, size: DynoSize) -> Result<()> {
        let Some(memory) = self.host_memory()? else {
            return Ok(());
        };
        let asked = Asked {
            process_type: process_type.as_str(),
            quantity: 1,
            size,
        };
        Ok(memory.admit(asked, 0, self.promised(None)?)?)
    }
}
